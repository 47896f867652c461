"""What kits of detectron2's systems share: backbones told by their parameters, results in stored order."""

from __future__ import annotations

import math
import re

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from dense3d.errors import DataError

# Blocks of the four stages and whether they are bottlenecks -> timm's name.
RESNETS = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}
STAGES = ("res2", "res3", "res4", "res5")
SHOWN = 8  # masks of instances that a kit holds


def resnet_name(official: dict[str, Tensor]) -> str:
    """timm's name of the ResNet whose parameters are among the official ones.

    Raises:
        DataError: there is no such ResNet.
    """
    depths = tuple(blocks(official, rf"backbone\.{stage}") for stage in STAGES)
    kind = depths, "backbone.res2.0.conv3.weight" in official
    if kind not in RESNETS:
        raise DataError(f"no ResNet has {depths} blocks; the kit's backbone is not known")
    return RESNETS[kind]


def swin_config(official: dict[str, Tensor]) -> dict:
    """The Swin whose parameters are among the official ones."""
    tables = [official[f"backbone.layers.{i}.blocks.0.attn.relative_position_bias_table"] for i in range(4)]
    dim, table = (
        len(official["backbone.patch_embed.proj.weight"]),
        official.get("backbone.absolute_pos_embed"),
    )
    arch = dict(
        embed_dim=dim,
        depths=[blocks(official, rf"backbone\.layers\.{i}\.blocks") for i in range(4)],
        num_heads=[table.shape[1] for table in tables],
    )
    first = "backbone.layers.0.blocks.0"
    return dict(
        type="Swin",
        arch=arch,
        window_size=(math.isqrt(len(tables[0])) + 1) // 2,
        mlp_ratio=len(official[f"{first}.mlp.fc1.weight"]) / dim,
        qkv_bias=f"{first}.attn.qkv.bias" in official,
        patch_norm="backbone.patch_embed.norm.weight" in official,
        absolute_position_size=None if table is None else table.shape[-1],
    )


def blocks(official: dict[str, Tensor], prefix: str) -> int:
    """Number of blocks ``<prefix>.0``, ``<prefix>.1`` ...; ``prefix`` is a pattern."""
    found = (re.match(prefix + r"\.(\d+)\.", name) for name in official)
    return 1 + max(int(match[1]) for match in found if match)


def by_score_and_class(found: InstanceData) -> dict[str, Tensor]:
    """``classes``, ``scores``, ``mask_area`` and the first eight masks, sorted by (-score, class)."""
    order = torch.from_numpy(np.lexsort((found.labels.numpy(), -found.scores.numpy())))
    masks = found.masks[order]
    return {
        "classes": found.labels[order].int(),
        "scores": found.scores[order],
        "mask_area": masks.sum((1, 2)).int(),
        "masks_top8": masks[:SHOWN].byte(),
    }
