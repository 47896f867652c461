"""Checkpoints of SpectFormer's vanilla architecture -> :class:`dense3d.backbones.PlainSpectFormer`.

The head has no place in a backbone; :func:`convert_head` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.spectformer import channels_first

_END = r"\.(weight|bias)"

_official = Renaming(
    "plain SpectFormer",
    rules=(
        (r"pos_embed", r"pos_embed"),
        (rf"(patch_embed\.proj|norm){_END}", r"\1.\2"),
        (r"blocks\.(\d+)\.filter\.complex_weight", r"blocks.\1.filter.weight"),
        (rf"(blocks\.\d+\.(?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])){_END}", r"\1.\2"),
    ),
    dropped=(rf"head{_END}",),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone of a classification checkpoint.

    Raises:
        CheckpointError: a name is not SpectFormer's.
    """
    converted = _official(official)
    return {n: channels_first(v) if n.endswith("filter.weight") else v for n, v in converted.items()}


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Final norm and linear layer."""
    return norm_and_linear(official)
