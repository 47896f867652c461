"""ViR checkpoints -> :class:`dense3d.backbones.ViR`: the layout of the review release (anom63931/ViR)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

_PART = r"(?:weight|bias)"
_renaming = Renaming(
    "ViR",
    rules=(
        (r"(cls_token|pos_embed)", r"\1"),
        (rf"((?:patch_embed\.proj|norm)\.{_PART})", r"\1"),
        (rf"(blocks\.\d+\.(?:norm[12]|mlp\.fc[12])\.{_PART})", r"\1"),
        (r"(blocks\.\d+\.ls[12]\.gamma)", r"\1"),
        (rf"(blocks\.\d+)\.retention\.(qkv\.{_PART})", r"\1.attn.\2"),
        (rf"(blocks\.\d+)\.retention\.out_proj\.({_PART})", r"\1.attn.proj.\2"),
    ),
    dropped=(r"head\..*",),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official layout.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    state = _renaming(official)
    if "blocks.0.attn.qkv.weight" not in state:
        raise CheckpointError("this is no official ViR checkpoint: it lacks blocks.0.retention.qkv.weight")
    return state


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier: ``norm`` and ``head``."""
    return norm_and_linear(official)
