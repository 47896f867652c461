"""DeiT as released and as timm names it -> ``VisionTransformer``; AugReg through timm has the same layout.

Touvron et al., "Training data-efficient image transformers", ICML 2021 (facebookresearch/deit). The position
of the class token is added to the token; a distillation token becomes a register.
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


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = from_transformers(official)
    rules = (NORM_RULE, (r"dist_token", "registers"), (r"reg_token", "registers"))
    state = rename(
        "deit", unwrapped(official), rules=rules, dropped=HEADS, required=(*EMBEDDING_RULES, *BLOCK_RULES)
    )
    return fold_prefix_positions(state, "deit")
