"""PPMA checkpoints -> :class:`dense3d.backbones.PPMA`: RMT's layout with the path decays beside it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.rmt import ANGLE, CLASSIFIER, PYRAMID_RULES, convert_head, convert_pyramid

__all__ = ["convert", "convert_head"]

_renaming = Renaming(
    "PPMA",
    (
        *PYRAMID_RULES,
        (
            r"layers\.(\d+)\.blocks\.(\d+)\.retention\.path_embed\.(dt_linear\.weight|dt_bias|A_log)",
            r"layers.\1.blocks.\2.attn.path_embed.\3",
        ),
        (r"outnorm(\d+)\.(weight|bias)", r"norm\1.\2"),
    ),
    dropped=(*CLASSIFIER, ANGLE),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The layout of classification and dense prediction; a classifier's layers are left out.

    Raises:
        CheckpointError: a name is not PPMA's.
    """
    return convert_pyramid(official, _renaming)
