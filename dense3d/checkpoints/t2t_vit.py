"""T2T-ViT checkpoints -> :class:`dense3d.backbones.T2TViT`: the layout of yitu-opensource/T2T-ViT.

Of a training file the average of the weights is taken, of which the published accuracies are. The classifier
is left out, as is the auxiliary head of token labelling.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

_PART = r"(?:weight|bias)"
_T2T = r"tokens_to_token\.attention[12]"
_renaming = Renaming(
    "T2T-ViT",
    rules=(
        (r"(cls_token|pos_embed)", r"\1"),
        (rf"({_T2T}\.(?:norm[12]|kqv|proj|mlp\.[02]|attn\.(?:qkv|proj)|mlp\.fc[12])\.{_PART})", r"\1"),
        (rf"({_T2T}\.w)", r"\1"),
        (rf"(tokens_to_token\.project\.{_PART})", r"\1"),
        (rf"(blocks\.\d+\.(?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])\.{_PART})", r"\1"),
        (rf"(norm\.{_PART})", r"\1"),
    ),
    dropped=(r"(head|aux_head)\..*",),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official layout.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    state = _renaming(_bare(official))
    if "tokens_to_token.project.weight" not in state:
        raise CheckpointError("this is no official T2T-ViT checkpoint: it lacks tokens_to_token.project")
    return state


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier: ``norm`` and ``head``."""
    return norm_and_linear(_bare(official))


def _bare(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("module."): value for name, value in official.items()}
