"""BEiT and BEiT v2 -> ``VisionTransformer``: pre-trained and fine-tuned, timm's and Hugging Face's files.

Bao et al., "BEiT", ICLR 2022; Peng et al., "BEiT v2", 2022 (microsoft/unilm). A table that all blocks share
is copied to each; the loader resizes tables to another window.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.vit_layout import (
    BLOCK_RULES,
    EMBEDDING_RULES,
    HEADS,
    NORM_RULE,
    StateDict,
    fold_prefix_positions,
    from_transformers,
    rename,
    unwrapped,
)

_SHARED = "rel_pos_bias.relative_position_bias_table"
_RULES = (
    EMBEDDING_RULES[0],
    NORM_RULE,
    (r"(blocks\.\d+)\.gamma_([12])", r"\1.ls\2.gamma"),
    (r"(blocks\.\d+\.attn\.[qv]_bias)", r"\1"),
    (r"(blocks\.\d+\.attn)\.relative_position_bias_table", r"\1.relative_bias.table"),
)
_DROPPED = (
    *HEADS,
    r"(.*\.)?relative_position_index",
    r"mask_token",
    r"fpn[1234](\..+)?",
    r"blocks\.\d+\.attn\.k_bias",
    r"cls_pt_layers\..*",
)


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = _share(unwrapped(from_transformers(official)))
    state = rename("beit", official, _RULES, _DROPPED, required=(EMBEDDING_RULES[1], *BLOCK_RULES))
    return fold_prefix_positions(state, "beit")


def convert_pyramid(official: Mapping[str, Tensor]) -> StateDict:
    """Convert the backbone of BEiT's segmentation models for ``RescaledPyramid(norm="batch")``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = unwrapped(official)
    upsampling = ((r"fpn1\.(.+)", r"up4.\1"), (r"fpn2\.0\.(.+)", r"up2.\1"))
    pyramid = rename("beit-seg", official, dropped=(r"(?!fpn).*",), required=upsampling)
    return {f"vit.{name}": value for name, value in convert(official).items()} | pyramid


def _share(official: StateDict) -> StateDict:
    if _SHARED not in official:
        return official
    blocks = {m.group(1) for m in (re.match(r"blocks\.(\d+)\.", name) for name in official) if m}
    own = {name: value for name, value in official.items() if name != _SHARED}
    for name in (f"blocks.{i}.attn.relative_position_bias_table" for i in blocks):
        own[name] = official[_SHARED] + own.get(name, 0)  # of both, official code adds the two
    return own
