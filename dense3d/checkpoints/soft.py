"""SOFT and SOFT-Norm checkpoints -> :class:`dense3d.backbones.SOFT` and its tail: fudan-zvg's layout."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.checkpoints.renaming import Renaming

_BLOCK = r"block(\d)\.(\d+)\."
_OURS = r"stages.\1.blocks.\2."
_PARAMETER = r"\.(weight|bias)"
_RULES = (
    (r"patch_embed(\d)\.proj\.(\d\.\w+)", r"stages.\1.patch_embed.\2"),
    (r"pos_embed(\d)", r"stages.\1.pos_embed"),
    (r"cls_token", r"stages.3.cls_token"),
    (_BLOCK + r"att\.mha\.W_([qv])" + _PARAMETER, _OURS + r"attn.\3.\4"),
    (_BLOCK + r"att\.mha\.ff" + _PARAMETER, _OURS + r"attn.proj.\3"),
    (_BLOCK + r"att\.mha\.attn\.Qlandmark_op\.weight", _OURS + r"attn.landmarks.weight"),
    (_BLOCK + r"att\.mha\.attn\.Qnorm_act\.0" + _PARAMETER, _OURS + r"attn.landmark_norm.\3"),
    (_BLOCK + r"att\.mha\.attn\.conv\.weight", _OURS + r"attn.value_conv.weight"),
    (_BLOCK + r"att\.ff([12])" + _PARAMETER, _OURS + r"mlp.fc\3.\4"),
    (_BLOCK + r"(?:att\.)?(norm[12])" + _PARAMETER, _OURS + r"\3.\4"),
    (_BLOCK + r"(attn\.(?:qkv|proj)|mlp\.fc[12])" + _PARAMETER, _OURS + r"\3.\4"),
    (r"norm" + _PARAMETER, r"norm3.\1"),
)
_rename = Renaming("SOFT", _RULES, dropped=(r"head\.(weight|bias)",), required=False)
_head = Renaming(
    "SOFT",
    ((r"norm" + _PARAMETER, r"norm.\1"), (r"head" + _PARAMETER, r"head.\1")),
    dropped=(r"(patch_embed|pos_embed|block)\d.*", r"cls_token"),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone of an official file: its final norm is that of the last map, its classifier is left out.

    Raises:
        CheckpointError: a name is not SOFT's.
    """
    return _rename({_from_zero(name): value for name, value in _joined(official).items()})


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``norm`` and ``head`` of an official file.

    Raises:
        CheckpointError: a name is not SOFT's.
    """
    return _head(official)


def _joined(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values of the last stage in one matrix."""
    joined = dict(official)
    for name, query in official.items():
        match = re.fullmatch(r"(block\d\.\d+\.attn\.)q\.(weight|bias)", name)
        if match and f"{match[1]}kv.{match[2]}" in joined:
            del joined[name]
            joined[f"{match[1]}qkv.{match[2]}"] = torch.cat([query, joined.pop(f"{match[1]}kv.{match[2]}")])
    return joined


def _from_zero(name: str) -> str:
    """Stages, which official names count from 1."""
    return re.sub(r"^(patch_embed|pos_embed|block)(\d)", lambda m: f"{m[1]}{int(m[2]) - 1}", name)
