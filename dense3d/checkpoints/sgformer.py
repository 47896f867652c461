"""SG-Former checkpoints -> :class:`dense3d.backbones.SGFormer`.

Queries of both halves of the heads are one layer here; so are the keys and values of what the official code
calls row and column sequences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

_LAYER = r"(weight|bias)"
_BLOCK = r"block(\d)\.(\d+)\."
_KEPT = "q|kv|window_kv|sr|norm|lepe_linear|lepe_conv|proj"
_OURS = r"stages.\1.blocks.\2."

_renaming = Renaming(
    "SG-Former",
    (
        (r"pos_embed", "pos_embed"),
        (rf"patch_embed\.(\d)\.{_LAYER}", r"patch_embed.\1.\2"),
        (rf"patch_embed0\.norm\.{_LAYER}", r"embed_norm.\1"),
        (rf"downsample(\d)\.(\d)\.{_LAYER}", r"stages.\1.downsample.\2.\3"),
        (_BLOCK + rf"norm([12])\.{_LAYER}", _OURS + r"norm\3.\4"),
        (
            _BLOCK + rf"attn\.(q|kv|window_kv|sr|norm|lepe_linear|lepe_conv|proj)\.{_LAYER}",
            _OURS + r"attn.\3.\4",
        ),
        (_BLOCK + rf"attn\.mergers\.(\d)\.{_LAYER}", _OURS + r"attn.mergers.\3.\4"),
        (_BLOCK + rf"mlp\.(fc1|fc2)\.{_LAYER}", _OURS + r"mlp.\3.\4"),
        (_BLOCK + rf"mlp\.dwconv\.dwconv\.{_LAYER}", _OURS + r"mlp.conv.\3"),
        (rf"norm(\d)\.{_LAYER}", r"stages.\1.norm.\2"),
    ),
    dropped=(r"head\..*",),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official layout; the classifier is left out.

    Raises:
        CheckpointError: a name is not SG-Former's, or half of a joined layer is missing.
    """
    return _renaming({_from_zero(name): value for name, value in _joined(official).items()})


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of an official file, for ``class_head`` of the backbone; empty where there is none."""
    return {name: value for name, value in official.items() if name.startswith("head.")}


def _from_zero(name: str) -> str:
    """Stages counted from 0; convolutions and their norms by their place in a sequence with activations."""
    match = re.match(r"(block|norm|patch_embed)(\d)(\..*)", name)
    if match is None:
        return name
    kind, stage, rest = match[1], int(match[2]) - 1, match[3]
    layer = re.fullmatch(r"\.(?:conv\.(\d)|conv(\d))\.(c|bn)\.(weight|bias)", rest)
    if kind == "patch_embed" and layer:
        number = int(layer[1]) // 2 if layer[1] else int(layer[2]) - 1
        place = 3 * number + (layer[3] == "bn")
        return f"{'patch_embed' if stage == 0 else f'downsample{stage}'}.{place}.{layer[4]}"
    return f"{kind}{stage}{rest}"


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    joined = dict(state)
    for name in state:
        match = re.fullmatch(r"(block\d\.\d+\.attn\.)(q1|kv1|f\d)\.(weight|bias)", name)
        if match is None:
            continue
        attention, layer, last = match.groups()
        if layer[0] == "f":
            joined[f"{attention}mergers.{int(layer[1]) - 1}.{last}"] = joined.pop(name)
            continue
        other = f"{attention}{layer[:-1]}2.{last}"
        if other not in state:
            raise CheckpointError(f"this checkpoint has {name}, but no {other}: take the whole file")
        first, second = joined.pop(name), joined.pop(other)
        if layer == "q1":
            joined[f"{attention}q.{last}"] = torch.cat([first, second])
        elif f"{attention}sr.weight" in state:  # hybrid: of the reduced map, and of windows
            joined |= {f"{attention}kv.{last}": first, f"{attention}window_kv.{last}": second}
        else:  # guided: all keys, then all values
            parts = zip(first.chunk(2), second.chunk(2))
            joined[f"{attention}kv.{last}"] = torch.cat([half for pair in parts for half in pair])
    return joined
