"""Checkpoints of HyenaND -> :class:`dense3d.backbones.HyenaViT`, and its operators alone.

The official files repeat the frequency of the sines once a layer, and have free kernels that nothing reads:
more than there are convolutions. The head has no place in a backbone; :func:`convert_head` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

_END = r"\.(weight|bias)"
_FILTER = r"(.*)filter_fn\."

_operator = (
    (rf"(.*)((?:in|out)_proj|short_filter){_END}", r"\1\2.\3"),
    (rf"(.*)linear_mix{_END}", r"\1mix.\2"),
    (rf"{_FILTER}bias", r"\1filter.bias"),
    (rf"{_FILTER}pos_emb\.z", r"\1filter.positions"),
    (rf"{_FILTER}[XY]?implicit_filter\.1\.freq", r"\1filter.frequency"),
    (rf"{_FILTER}(\d)\.(\d+){_END}", r"\1filter.networks.\2.\3.\4"),
    (rf"{_FILTER}(decays|shift)", r"\1filter.\2"),
    (r"(.*\.attn\.)?filter", r"\1filter.weight"),
    (r"(.*\.attn\.)?bias", r"\1filter.bias"),
)
_vit = Renaming(
    "HyenaND",
    rules=(
        (r"pos_embed", r"pos_embed"),
        (rf"(patch_embed\.proj|norm){_END}", r"\1.\2"),
        (rf"(blocks\.\d+\.(?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])){_END}", r"\1.\2"),
        *_operator,
    ),
    dropped=(rf"head{_END}",),
    required=False,
)
_alone = Renaming("Hyena", rules=_operator, required=False)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone of a checkpoint of plain transformers.

    Raises:
        CheckpointError: a name is not HyenaND's, or sines of one filter have different frequencies.
    """
    return _vit(_joined(official))


def convert_operator(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One operator alone, for :class:`dense3d.layers.hyena.HyenaOperator`.

    Raises:
        CheckpointError: a name is not Hyena's, or the sines have different frequencies.
    """
    return _alone(_joined(official))


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Final norm and linear layer."""
    return norm_and_linear(official)


def _joined(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One frequency a filter; layers of its networks counted; windows of rows and columns stacked."""
    joined: dict[str, Tensor] = {}
    for name, value in official.items():
        stem, found, rest = name.partition("filter_fn.")
        prefix = f"{stem}filter_fn."
        if not found:
            joined[name] = _free(name, value, official)
        elif rest == "pos_emb.t":
            continue  # follows from the length
        elif rest == "pos_emb.z":
            joined[name] = value[0]
        elif rest == "bias":
            joined[name] = value.view(_kernels(stem, official), -1)
        elif rest.endswith(".freq"):
            _add_frequency(joined, f"{prefix}implicit_filter.1.freq", value[0], name)
        elif "implicit_filter" in rest:
            number, layer, kind = re.fullmatch(r"([XY]?)implicit_filter\.(\d+)\.(\w+)", rest).groups()
            joined[f"{prefix}{int(number == 'Y')}.{int(layer) // 2}.{kind}"] = value
        else:
            _add_window(joined, prefix, rest, value)
    return joined


def _kernels(stem: str, official: Mapping[str, Tensor]) -> int:
    """Kernels of an operator, one less than its order."""
    inner, dim = official[f"{stem}in_proj.weight"].shape
    return inner // dim - 2


def _free(name: str, value: Tensor, official: Mapping[str, Tensor]) -> Tensor:
    """Free kernels and their biases, as many as are read."""
    stem, _, last = name.rpartition(".")
    stem = f"{stem}." if stem else ""
    if last in ("filter", "bias") and f"{stem}filter" in official:
        return value[: _kernels(stem, official)]
    return value


def _add_frequency(joined: dict[str, Tensor], name: str, value: Tensor, official_name: str) -> None:
    if name in joined and not torch.equal(joined[name], value):
        raise CheckpointError(
            f"{official_name} differs from the frequency of another layer, but they are one parameter: "
            "the file is damaged"
        )
    joined[name] = value


def _add_window(joined: dict[str, Tensor], prefix: str, rest: str, value: Tensor) -> None:
    """``modulation.Xdeltas``, ``Xmodulation.deltas``, ``modulation.shift`` ...: rows first."""
    match = re.fullmatch(r"([XY]?)modulation\.([XY]?)(deltas|shift)", rest)
    if match is None:
        joined[prefix + rest] = value  # no rule knows it
        return
    name = prefix + {"deltas": "decays", "shift": "shift"}[match[3]]
    rows = match[1] + match[2] != "Y"
    parts = [value[0], *([joined[name]] if name in joined else [])] if rows else [joined.get(name), value[0]]
    joined[name] = torch.cat([part for part in parts if part is not None])
