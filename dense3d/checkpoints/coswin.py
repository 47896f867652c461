"""CoSwin checkpoints of the authors -> :class:`dense3d.backbones.CoSwin`.

Masks and indices belong to the images of training and follow from the window; they and the classifier are
left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming

_LEAF = r"(weight|bias)"
_BLOCK = r"(layers\.\d+\.blocks\.\d+)\."

_official = Renaming(
    "CoSwin",
    rules=(
        (rf"(patch_embed\.(?:proj|norm))\.{_LEAF}", r"\1.\2"),
        (r"absolute_pos_embed", r"absolute_pos_embed"),
        (rf"{_BLOCK}convInfluenceWeight", r"\1.influence"),
        (rf"{_BLOCK}conv\.conv\.0\.{_LEAF}", r"\1.local.conv1.\2"),
        (rf"{_BLOCK}conv\.conv\.2\.{_LEAF}", r"\1.local.conv2.\2"),
        (rf"{_BLOCK}mlp\.fc1\.{_LEAF}", r"\1.mlp.0.\2"),
        (rf"{_BLOCK}mlp\.fc2\.{_LEAF}", r"\1.mlp.3.\2"),
        (rf"{_BLOCK}(norm[12]|attn\.qkv|attn\.proj)\.{_LEAF}", r"\1.\2.\3"),
        (rf"{_BLOCK}attn\.relative_position_bias_table", r"\1.attn.relative_position_bias_table"),
        (rf"(layers\.\d+\.downsample\.(?:norm|reduction))\.{_LEAF}", r"\1.\2"),
    ),
    dropped=(r".*\.relative_position_index", r".*\.attn_mask", r"norm\.(weight|bias)", r"head\..*"),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official layout to ours.

    Raises:
        CheckpointError: a name is not CoSwin's.
    """
    converted = _official(official)
    table = converted.get("absolute_pos_embed")
    if table is not None and table.dim() == 3:  # tokens of a square image, (1, h w, C)
        side = math.isqrt(table.shape[1])
        converted["absolute_pos_embed"] = table.transpose(1, 2).unflatten(2, (side, side)).contiguous()
    return converted


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of an official file: ``norm`` and ``head``."""
    return norm_and_linear(official)
