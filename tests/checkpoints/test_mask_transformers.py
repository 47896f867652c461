"""Converters of kMaX-DeepLab, Mask2Former and ECO-M2F: foreign files, order of classes."""

from __future__ import annotations

import pytest
import torch

from dense3d.checkpoints import convert
from dense3d.checkpoints.mask_transformers import ADE20K_STUFF, CITYSCAPES_STUFF, things_first
from dense3d.errors import CheckpointError

MARKS = {
    "kmax-deeplab": "sem_seg_head.predictor._kmax_transformer_layers.0._pixel_v_conv_bn.conv.weight",
    "mask2former": "sem_seg_head.predictor.transformer_cross_attention_layers.0.norm.weight",
}
STEM = {"backbone.stem.conv1.weight": torch.ones(1), "backbone.stem.conv1.norm.weight": torch.ones(1)}
STEM |= {
    f"backbone.res2.0.{part}": torch.ones(1)
    for part in ("conv1.weight", "conv1.norm.weight", "shortcut.weight", "shortcut.norm.running_var")
}


@pytest.mark.parametrize("system", MARKS)
def test_foreign_files_are_refused(system):
    with pytest.raises(CheckpointError, match="no name like sem_seg_head"):
        convert(system, {"model.weight": torch.ones(1)})


@pytest.mark.parametrize("system", MARKS)
def test_unknown_names_are_listed(system):
    with pytest.raises(CheckpointError, match=r"sem_seg_head\.other\.weight"):
        convert(system, {MARKS[system]: torch.ones(1), "sem_seg_head.other.weight": torch.ones(1), **STEM})


@pytest.mark.parametrize("system", MARKS)
def test_resnets_of_detectron2_become_timms(system):
    converted = convert(system, {MARKS[system]: torch.ones(1), **STEM})
    names = {name for name in converted if name.startswith("backbone.")}
    assert {"backbone.body.bn1.weight", "backbone.body.layer1.0.downsample.0.weight"} <= names
    counters = [name for name in names if name.endswith("num_batches_tracked")]
    assert counters == ["backbone.body.layer1.0.downsample.1.num_batches_tracked"]


def test_cityscapes_classes_are_train_ids():
    rows = things_first(torch.arange(20), CITYSCAPES_STUFF, 19)
    assert rows.tolist() == [*range(11, 19), *range(11), 19]  # person ... bicycle, road ... sky, void


def test_ade20k_has_50_stuff_classes():
    rows = things_first(torch.arange(151), ADE20K_STUFF, 150).tolist()
    assert len(set(ADE20K_STUFF)) == 50 and sorted(rows) == list(range(151))
    assert rows[:3] == [7, 8, 10] and rows[100:103] == [0, 1, 2]  # bed, window, cabinet; wall, building, sky


def test_class_rows_of_mask2former_are_reordered():
    names = ("class_embed.weight", "class_embed.bias")
    official = {f"sem_seg_head.predictor.{name}": torch.arange(20.0) for name in names}
    official |= {MARKS["mask2former"]: torch.ones(1), **STEM}
    converted = convert("mask2former-cityscapes", official)
    assert converted["panoptic_head.cls_embed.bias"][:2].tolist() == [11, 12]


def test_class_rows_of_kmax_are_reordered():
    prefix = "sem_seg_head.predictor."
    names = (
        "_predcitor._transformer_class_head.conv.bias",
        "_kmax_transformer_layers.0._predcitor._transformer_class_head.conv.bias",
        "_auxiliary_semantic_predictor.final_conv.conv.bias",
    )
    official = {prefix + name: torch.arange(20.0) for name in names} | STEM
    official[f"{prefix}_class_embedding_projection.conv.weight"] = torch.arange(20.0)
    converted = convert("kmax-deeplab-cityscapes", official)
    for name in ("decoder.predictor", "decoder.layers.0.predictor"):
        assert converted[f"{name}.class_proj.bias"][:2].tolist() == [11, 12]
    assert converted["semantic_head.classifier.bias"][-1] == 19
    assert converted["decoder.class_proj.conv.weight"][:2].tolist() == [0, 1]


def test_semantic_head_of_cityscapes():
    prefix = "sem_seg_head.predictor._auxiliary_semantic_predictor."
    names = {
        "0.conv.weight": "final.0.conv.weight",
        "1.norm.bias": "final.1.norm.bias",
        "2.conv.bias": "classifier.bias",
    }
    official = {prefix + name: torch.ones(1) for name in names} | {
        MARKS["kmax-deeplab"]: torch.ones(1),
        **STEM,
    }
    converted = convert("kmax-deeplab", official)
    assert {f"semantic_head.{name}" for name in names.values()} <= set(converted)


def test_eco_m2f_is_mask2former_with_a_gate():
    rest = {MARKS["mask2former"]: torch.ones(1), **STEM}
    prefix = "sem_seg_head.pixel_decoder.transformer.encoder.gt.head."
    gate = {f"{prefix}{name}": torch.ones(5) for name in ("weight", "bias")}
    converted = convert("eco-m2f", rest | gate)
    assert set(converted) == set(convert("mask2former", rest)) | {"gate.head.weight", "gate.head.bias"}
    with pytest.raises(CheckpointError, match=r"encoder\.gt\.\*; convert .* with the system mask2former"):
        convert("eco-m2f", rest)
