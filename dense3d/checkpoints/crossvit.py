"""CrossViT checkpoints -> :class:`dense3d.backbones.CrossViT`: IBM/CrossViT's layout, and timm's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

_PART = r"(?:weight|bias)"
_BLOCK = r"blocks\.\d+"
_HEAD = rf"((?:norm|head)\.[01]\.{_PART})"
_renaming = Renaming(
    "CrossViT",
    rules=(
        (r"(cls_token|pos_embed)[._]([01])", r"\1.\2"),
        (rf"(patch_embed\.[01])\.proj\.((?:[024]\.)?{_PART})", r"\1.\2"),
        (rf"({_BLOCK}\.blocks\.[01]\.\d+\.(?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])\.{_PART})", r"\1"),
        (rf"({_BLOCK}\.(?:projs|revert_projs)\.[01]\.[02]\.{_PART})", r"\1"),
        (rf"({_BLOCK}\.fusion\.[01]\.(?:\d+\.)?(?:norm1|attn\.(?:w[qkv]|proj))\.{_PART})", r"\1"),
        (rf"(norm\.[01]\.{_PART})", r"\1"),
    ),
    dropped=(r"head\..*",),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official layout, or timm's.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    state = _renaming(official)
    if not {"cls_token.0", "cls_token.1"} <= set(state):
        raise CheckpointError(
            "this is no official CrossViT checkpoint: it lacks the class tokens of two branches"
        )
    return state


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier: norm and linear layer of each branch."""
    return {name: value for name, value in official.items() if re.fullmatch(_HEAD, name)}
