"""ResFormer checkpoints -> :class:`dense3d.backbones.ResFormer`: the layout of ruitian12/resformer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

_PART = r"(?:weight|bias)"
_renaming = Renaming(
    "ResFormer",
    rules=(
        (r"(cls_token)", r"\1"),
        (rf"((?:patch_embed\.proj|pos_embed\.embed_layer|norm)\.{_PART})", r"\1"),
        (rf"(blocks\.\d+\.(?:norm[12]|attn\.(?:qkv|proj|get_v)|mlp\.fc[12])\.{_PART})", r"\1"),
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
    if "pos_embed.embed_layer.weight" not in state:
        raise CheckpointError(
            "this is no official ResFormer checkpoint: it lacks pos_embed.embed_layer.weight"
        )
    return state


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier: ``norm`` and ``head``."""
    return norm_and_linear(official)
