"""SpectFormer and SVT checkpoints, which share their layout but for the first stages.

``spectformer`` -> :class:`dense3d.backbones.SpectFormer`, ``svt`` -> :class:`dense3d.backbones.SVT`. Class
attention and heads have no place in a backbone; :func:`convert_head` reads them. Wavelet filters follow from
the family and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.checkpoints.renaming import Renaming

_END = r"\.(weight|bias)"
_BLOCK, _OURS = r"block(\d)\.(\d+)\.", r"stages.\1.blocks.\2."
_CLASSIFIER = (r"post_network\..*", r"(aux_)?head\..*")

_official = Renaming(
    "SpectFormer",
    rules=(
        (r"patch_embed0\.conv\.(\d)\.(\w+)", r"patch_embed.\1.\2"),
        (rf"patch_embed0\.(proj|norm){_END}", r"patch_embed.9.\1.\2"),
        (rf"patch_embed(\d)\.(proj|norm){_END}", r"stages.\1.downsample.\2.\3"),
        (rf"{_BLOCK}(norm[12]){_END}", rf"{_OURS}\3.\4"),
        (rf"{_BLOCK}attn\.((?:qkv|proj)\.(?:weight|bias))", rf"{_OURS}attn.\3"),
        (rf"{_BLOCK}attn\.complex_weight", rf"{_OURS}attn.weight"),
        (rf"{_BLOCK}attn\.complex_weight_ll", rf"{_OURS}attn.low"),
        (rf"{_BLOCK}attn\.complex_weight_lh_([12])", rf"{_OURS}attn.high.weight\3"),
        (rf"{_BLOCK}attn\.complex_weight_lh_b([12])", rf"{_OURS}attn.high.bias\3"),
        (rf"{_BLOCK}mlp\.(fc[12]){_END}", rf"{_OURS}mlp.\3.\4"),
        (rf"{_BLOCK}mlp\.dwconv\.dwconv{_END}", rf"{_OURS}mlp.conv.\3"),
        (rf"norm3{_END}", r"norm3.\1"),
        (rf"norm(\d){_END}", r"stages.\1.norm.\2"),
    ),
    dropped=(*_CLASSIFIER, r".*\.attn\.[xi]fm\..*"),
    required=False,
)
_head = Renaming(
    "SpectFormer",
    rules=(
        (r"post_network\.0\.(.+)", r"block.\1"),
        (rf"norm4{_END}", r"norm.\1"),
        (rf"((?:aux_)?head){_END}", r"\1.\2"),
    ),
    dropped=(r"(patch_embed|block)\d\..*", r"norm[123]\..*"),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone of a classification checkpoint.

    Raises:
        CheckpointError: a name is not SpectFormer's.
    """
    counted = {_from_zero(name): value for name, value in _join_queries(official).items()}
    converted = _official(counted)
    return {n: channels_first(v) if n.endswith("attn.weight") else v for n, v in converted.items()}


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Class attention, norm and linear layers of a classification checkpoint; empty where it has none.

    Raises:
        CheckpointError: a name is not SpectFormer's.
    """
    return _head(official) if "head.weight" in official else {}


def _from_zero(name: str) -> str:
    """Stages counted from 0."""
    return re.sub(r"^(patch_embed|block|norm)(\d)", lambda m: f"{m[1]}{int(m[2]) - 1}", name)


def channels_first(spectrum: Tensor) -> Tensor:
    """``(h, w, C, 2)`` to ``(C, h, w, 2)``."""
    return spectrum.permute(2, 0, 1, 3).contiguous()


def _join_queries(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One projection to queries, keys and values in the blocks of the stages."""
    joined = dict(official)
    for name, query in official.items():
        match = re.fullmatch(r"(block\d\.\d+\.attn\.)q\.(weight|bias)", name)
        other = f"{match[1]}kv.{match[2]}" if match else None
        if other in official:
            del joined[name]
            joined[f"{match[1]}qkv.{match[2]}"] = torch.cat([query, joined.pop(other)])
    return joined
