"""ConViT checkpoints -> :class:`dense3d.backbones.ConViT`: facebookresearch/convit's layout, and timm's."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

_PART = r"(?:weight|bias)"
_renaming = Renaming(
    "ConViT",
    rules=(
        (r"(cls_token|pos_embed)", r"\1"),
        (rf"(patch_embed\.proj\.{_PART})", r"\1"),
        (rf"(blocks\.\d+\.(?:norm[12]|attn\.(?:qkv|qk|v|proj|pos_proj)|mlp\.fc[12])\.{_PART})", r"\1"),
        (r"(blocks\.\d+\.attn\.gating_param)", r"\1"),
        (rf"(norm\.{_PART})", r"\1"),
    ),
    dropped=(r"head\..*", r"blocks\.\d+\.attn\.rel_indices"),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official layout.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    state = _renaming(official)
    if not any(name.endswith("gating_param") for name in state):
        raise CheckpointError("this is no official ConViT checkpoint: no block has a gating_param")
    return state


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier: ``norm`` and ``head``."""
    return norm_and_linear(official)
