"""Names of official ViDT checkpoints; whole ones are converted in the golden kits."""

from __future__ import annotations

import pytest
import torch

from dense3d.checkpoints import convert
from dense3d.checkpoints.relation_detr import COCO_CATEGORY_IDS
from dense3d.errors import CheckpointError

ROWS = torch.arange(91.0)
OFFICIAL = {
    "backbone.det_token": torch.zeros(1, 9, 8),
    "backbone.det_pos_embed": torch.zeros(1, 9, 16),
    "backbone.patch_embed.proj.weight": torch.zeros(8, 3, 4, 4),
    "backbone.layers.0.blocks.1.attn.qkv.weight": torch.zeros(24, 8),
    "backbone.layers.0.blocks.1.det_pos_linear.bias": torch.zeros(8),
    "backbone.layers.0.downsample.reduction.weight": torch.zeros(16, 32),
    "backbone.layers.0.downsample.expansion.weight": torch.zeros(16, 8),
    "backbone.layers.1.downsample.reduction.weight": torch.zeros(16, 64),
    "backbone.layers.1.downsample.norm2.bias": torch.zeros(16),
    "backbone.norm1.weight": torch.zeros(16),
    "transformer.level_embed": torch.zeros(4, 8),
    "transformer.decoder.layers.0.norm1.weight": torch.ones(8),
    "transformer.decoder.bbox_embed.0.layers.0.bias": torch.zeros(8),
    "transformer.token_embed.bias": ROWS,
    "class_embed.0.bias": ROWS,
    "class_embed.1.bias": ROWS + 1,
    "bbox_embed.0.layers.0.bias": torch.zeros(8),
    "bbox_embed.1.layers.0.bias": torch.ones(8),
    "vector_embed.0.layers.2.bias": torch.zeros(4),
    "vector_embed.1.layers.2.bias": torch.zeros(4),
    "fusion.multi_scaler.layer_1_rn.weight": torch.zeros(8, 8, 1, 1),
    "fusion.multi_scaler.p_norm_1.bias": torch.zeros(8),
    "fusion.multi_scaler.refinenet_0.smoothing.bias": torch.zeros(8),
    "fusion.multi_scaler.refinenet_1.smoothing.bias": torch.zeros(8),
    "fusion.multi_scaler.refinenet_1.resConfUnit1.conv1.bias": torch.zeros(2),
    "fusion.multi_scaler.refinenet_1.resConfUnit2.conv1.bias": torch.zeros(2),
}


def test_names():
    assert set(convert("vidt", OFFICIAL)) == {
        "backbone.det_token",
        "backbone.det_pos_embed",
        "backbone.patch_embed.proj.weight",
        "backbone.layers.0.blocks.1.attn.qkv.weight",
        "backbone.det_pos_linear.0.1.bias",
        "backbone.layers.0.downsample.reduction.weight",
        "backbone.last_merging.reduction.weight",
        "decoder.layers.0.cross_attn_norm.weight",
        "token_head.token_embed.bias",
        "class_embed.0.bias",
        "class_embed.1.bias",
        "decoder.bbox_embed.0.layers.0.bias",
        "decoder.bbox_embed.1.layers.0.bias",
        "vector_embed.layers.2.bias",
        "neck.lateral.1.0.weight",
        "neck.lateral.1.1.bias",
        "neck.levels.0.smoothing.bias",
        "neck.levels.1.unit2.conv1.bias",
    }


def test_heads_that_all_layers_share_are_kept_once():
    shared = {"class_embed.1.bias": ROWS, "bbox_embed.1.layers.0.bias": torch.zeros(8)}
    converted = convert("vidt", OFFICIAL | shared)
    assert [n for n in converted if "bbox_embed" in n or "class_embed" in n] == [
        "class_embed.0.bias",
        "decoder.bbox_embed.0.layers.0.bias",
    ]


def test_rows_of_the_80_categories():
    converted = convert("vidt-coco80", OFFICIAL)
    assert converted["class_embed.0.bias"].tolist() == list(COCO_CATEGORY_IDS)
    assert converted["token_head.token_embed.bias"].tolist() == [0, *COCO_CATEGORY_IDS]
    with pytest.raises(CheckpointError, match=r"class_embed\.0\.bias has 20 rows, not the 91"):
        convert("vidt-coco80", OFFICIAL | {"class_embed.0.bias": torch.zeros(20)})


def test_other_files_are_refused():
    with pytest.raises(CheckpointError, match="no official ViDT checkpoint"):
        convert("vidt", {"backbone.norm1.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"1 unexpected names: query_embed\.weight"):
        convert("vidt", OFFICIAL | {"query_embed.weight": torch.zeros(1)})
