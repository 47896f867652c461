"""ViT-ResNAS checkpoints -> :class:`dense3d.backbones.ViTResNAS` and its class head: vit-search's layout.

Official names count blocks, reductions between stages and blocks that the search has removed in one list. The
head of patches, which serves a loss of training alone, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming

_PARAMETER = r"\.(weight|bias)"
_RULES = (
    (r"(tokens|pos_embed)", r"\1"),
    (r"patch_embed\.proj" + _PARAMETER, r"patch_embed.\1"),
    (r"patch_embed\.conv_proj" + _PARAMETER, r"patch_embed.proj.\1"),
    (r"(patch_embed\.conv[123]\.(?:conv\.weight|bn\.\w+))", r"\1"),
    (r"(stages\.\d+\.\d+\.(?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])\.(?:weight|bias))", r"\1"),
    (r"(reductions\.\d+\.pos_embed)", r"\1"),
    (r"(reductions\.\d+\.(?:norm|patch_reduce|token_transform)\.(?:weight|bias))", r"\1"),
)
_HEADS = r"(norm|cls_head|dst_head|patch_head)" + _PARAMETER
_rename = Renaming("ViT-ResNAS", _RULES, dropped=(_HEADS,), required=False)
_head = Renaming(
    "ViT-ResNAS",
    (
        (r"norm" + _PARAMETER, r"norm.\1"),
        (r"cls_head" + _PARAMETER, r"head.\1"),
        (r"dst_head" + _PARAMETER, r"head_dist.\1"),
    ),
    dropped=(r"(tokens|pos_embed)", r"(patch_embed|blocks|patch_head)\..*"),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone of an official file.

    Raises:
        CheckpointError: a name is not ViT-ResNAS's.
    """
    return _rename(_by_stage(official))


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``norm``, ``head`` and, of distilled networks, ``head_dist`` of an official file.

    Raises:
        CheckpointError: a name is not ViT-ResNAS's.
    """
    return _head(official)


def _by_stage(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The list of blocks and reductions as stages of blocks, and reductions."""
    numbers = sorted({int(m[1]) for name in official if (m := re.match(r"blocks\.(\d+)\.", name))})
    places, stage, block = {}, 0, 0
    for number in numbers:
        if f"blocks.{number}.patch_reduce.weight" in official:
            places[number] = f"reductions.{stage}."
            stage, block = stage + 1, 0
        else:
            places[number] = f"stages.{stage}.{block}."
            block += 1
    return {
        re.sub(r"^blocks\.(\d+)\.", lambda m: places[int(m[1])], name): value
        for name, value in official.items()
    }
