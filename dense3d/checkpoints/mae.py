"""MAE -> the encoder as ``VisionTransformer`` (``mae``) or the model for pre-training (``mae-pretrain``).

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022 (facebookresearch/mae). Files that
were fine-tuned with mean pooling have ``fc_norm`` instead of ``norm``: use ``final_norm=False`` with them.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.transformers_layout import from_transformers
from dense3d.checkpoints.vit_layout import (
    BLOCK_RULES,
    EMBEDDING_RULES,
    HEADS,
    NORM_RULE,
    StateDict,
    fold_prefix_positions,
    rename,
    unwrapped,
)

_DECODER_RULES = (
    (r"(mask_token)", r"decoder.\1"),
    (r"decoder_(embed|norm|pred)\.(weight|bias)", r"decoder.\1.\2"),
    (r"decoder_blocks\.(\d+\..+)", r"decoder.blocks.\1"),
    (r"decoder_pos_embed", "decoder.pos_embed"),
)


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert the encoder of a state dict, pre-trained or fine-tuned.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    required = (*EMBEDDING_RULES, *BLOCK_RULES)
    dropped = (*HEADS, "mask_token")
    state = rename("mae", unwrapped(from_transformers(official)), (NORM_RULE,), dropped, required)
    return fold_prefix_positions(state, "mae")


def convert_pretrain(official: Mapping[str, Tensor]) -> StateDict:
    """Convert encoder and decoder for ``MaskedAutoencoder``.

    Raises:
        CheckpointError: names are missing or unexpected; files without a decoder lack some.
    """
    official = unwrapped(from_transformers(official))
    decoder = rename(
        "mae-pretrain", official, dropped=(r"(?!mask_token|decoder).*",), required=_DECODER_RULES
    )
    # the class row of the table is zero, and the class token is prepended without a position
    decoder["decoder.pos_embed"] = decoder["decoder.pos_embed"][:, 1:]
    return {f"encoder.{name}": value for name, value in convert(official).items()} | decoder
