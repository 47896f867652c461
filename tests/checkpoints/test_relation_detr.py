"""Names of official Relation-DETR checkpoints."""

from __future__ import annotations

import pytest
import torch

from dense3d.checkpoints import convert
from dense3d.checkpoints.relation_detr import COCO_CATEGORY_IDS
from dense3d.errors import CheckpointError

# A few names of each kind; the whole checkpoint of the golden kits is converted in tests/golden.
OFFICIAL = {
    "_classes_": torch.zeros(5, dtype=torch.long),
    "backbone.conv1.weight": torch.zeros(64, 3, 7, 7),
    "backbone.bn1.weight": torch.zeros(64),
    "backbone.layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1),
    "neck.convs.0.0.weight": torch.zeros(8, 4, 1, 1),
    "neck.convs.0.1.weight": torch.zeros(8),
    "neck.convs.1.0.weight": torch.zeros(8, 4, 3, 3),
    "neck.convs.1.1.bias": torch.zeros(8),
    "transformer.level_embeds": torch.zeros(2, 8),
    "transformer.decoder.class_head.0.weight": torch.arange(91.0)[:, None].expand(91, 8),
    "transformer.decoder.bbox_head.0.layers.2.bias": torch.zeros(4),
    "transformer.decoder.position_relation_embedding.pos_proj.0.bias": torch.zeros(8),
    "transformer.encoder_class_head.bias": torch.arange(91.0),
    "transformer.tgt_embed.weight": torch.zeros(9, 8),
    "denoising_generator.label_encoder.weight": torch.zeros(91, 8),
}


def official(**changes) -> dict:
    return OFFICIAL | changes


def test_names():
    converted = convert("relation-detr", official())
    assert set(converted) == {
        "backbone.body.conv1.weight",
        "backbone.body.bn1.weight",
        "backbone.body.layer1.0.conv1.weight",
        "neck.convs.0.conv.weight",
        "neck.convs.0.gn.weight",
        "neck.extra_convs.0.conv.weight",
        "neck.extra_convs.0.gn.bias",
        "level_embeds",
        "decoder.class_head.0.weight",
        "decoder.bbox_head.0.layers.2.bias",
        "decoder.relation.pos_proj.0.bias",
        "query_head.class_head.bias",
        "query_head.content.weight",
        "denoising.label_encoder.weight",
    }


def test_rows_of_the_80_classes(sample_data):
    """Row i is that of the i-th category of COCO's own annotation file."""
    import json

    categories = json.loads((sample_data / "coco/annotations/instances_val2017.json").read_text())[
        "categories"
    ]
    assert tuple(category["id"] for category in categories) == COCO_CATEGORY_IDS
    converted = convert("relation-detr-coco80", official())
    assert converted["query_head.class_head.bias"].tolist() == list(COCO_CATEGORY_IDS)
    assert converted["decoder.class_head.0.weight"][:, 0].tolist() == list(COCO_CATEGORY_IDS)
    assert converted["denoising.label_encoder.weight"].shape == (80, 8)
    assert converted["decoder.bbox_head.0.layers.2.bias"].shape == (4,)


def test_rows_need_category_ids():
    state = official(**{"transformer.encoder_class_head.bias": torch.zeros(80)})
    with pytest.raises(CheckpointError, match=r"query_head\.class_head\.bias has 80 rows"):
        convert("relation-detr-coco80", state)


def test_another_checkpoint_is_refused():
    with pytest.raises(CheckpointError, match=r"no name like transformer\.decoder"):
        convert("relation-detr", {"backbone.conv1.weight": torch.zeros(1)})


def test_an_unknown_name_is_listed():
    with pytest.raises(CheckpointError, match=r"transformer\.novelty"):
        convert("relation-detr", official(**{"transformer.novelty": torch.zeros(1)}))
