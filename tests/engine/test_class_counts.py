"""Class counts of every head: left out they are the data's, and where they are not it is said which."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from dense3d.apis import build_model
from dense3d.config import load_config
from dense3d.engine.class_counts import KEYS, OWN_AFFAIR, faults_of, fill_classes
from dense3d.engine.data_classes import DataClasses, classes_of_config
from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from tests.compatibility.backbones import tiny_backbones
from tests.compatibility.heads import CLASSES, THINGS, heads

HEADS = {name: head for name, head in heads().items() if head.task != "stereo"}  # that has no classes
NAMES = ("a", "b", "c", "d", "e", "f", "g")


def data(task: str = "detection", classes: int = CLASSES) -> DataClasses:
    metainfo = {"classes": NAMES[:classes]}
    if task == "panoptic":
        metainfo |= dict(thing_classes=NAMES[:THINGS], stuff_classes=NAMES[THINGS:classes])
    if task == "3d":
        metainfo = {"classes": ("Pedestrian", "Car", "Cyclist")[:classes]}
    return DataClasses.of(metainfo, "the data")


def model_of(name: str) -> dict:
    backbone = dict(type="dense3d.TimmBackbone", model_name="resnet18", out_strides=(4, 8, 16, 32))
    if body := HEADS[name].body:  # the model takes one family alone
        backbone = next(one for one in tiny_backbones().values() if body.items() <= one.items())
    model = HEADS[name].config(backbone, 4)
    return model.to_dict() if hasattr(model, "to_dict") else copy.deepcopy(dict(model))


def counts(node: object, path: str = "") -> dict[str, object]:
    """All counts of a config by their place."""
    found: dict[str, object] = {}
    if isinstance(node, dict):
        for key, value in node.items():
            if key in KEYS and not set(path.split(".")) & OWN_AFFAIR:
                found[f"{path}.{key}"] = list(value) if isinstance(value, (tuple, range)) else value
            found |= counts(value, f"{path}.{key}")
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            found |= counts(value, f"{path}.{index}")
    return found


def without_counts(node: object) -> object:
    if isinstance(node, dict):
        return {k: v if k in OWN_AFFAIR else without_counts(v) for k, v in node.items() if k not in KEYS}
    return [without_counts(one) for one in node] if isinstance(node, (list, tuple)) else node


@pytest.mark.parametrize("name", list(HEADS))
def test_counts_that_are_left_out_follow_from_the_data(name):
    task = HEADS[name].task
    model = model_of(name)
    with DefaultScope.overwrite_default_scope("dense3d"):
        filled = fill_classes(without_counts(model), lambda: data(task))
    written = {key: value for key, value in counts(model).items() if value is not None}
    assert written
    if task == "instance":  # of ours: all classes are things
        written = {k: list(range(CLASSES)) if k.endswith("thing_classes") else v for k, v in written.items()}
    ours = counts(filled)
    assert {key: ours[key] for key in written} == written


@pytest.mark.parametrize("name", list(HEADS))
def test_a_model_of_another_number_of_classes_is_told_of(name):
    task = HEADS[name].task
    with DefaultScope.overwrite_default_scope("dense3d"), torch.device("meta"):
        model = build_model(without_counts_filled(name))
    assert faults_of(model, data(task)) == []
    for classes in (2, 4, 7) if task not in ("3d", "panoptic") else (2,) if task == "3d" else (4, 7):
        faults = faults_of(model, data(task, classes))
        assert faults and all(fault.startswith("model") and "the data has" in fault for fault in faults)


def without_counts_filled(name: str) -> dict:
    with DefaultScope.overwrite_default_scope("dense3d"):
        return fill_classes(without_counts(model_of(name)), lambda: data(HEADS[name].task))


def test_the_number_of_things_is_compared_as_well():
    with torch.device("meta"):
        model = build_model(without_counts_filled("Mask2Former"))
    other = DataClasses.of(
        dict(classes=NAMES[:5], thing_classes=NAMES[:2], stuff_classes=NAMES[2:5]), "the data"
    )
    (fault,) = faults_of(model, other)
    assert "has thing_classes=[0, 1, 2], but the data has 5 classes" in fault
    assert "2 things and 3 stuff" in fault and "write thing_classes=[0, 1]" in fault


def test_mmdets_panoptic_heads_take_things_and_stuff_and_weights_of_the_loss():
    head = dict(
        type="MaskFormerHead",
        num_stuff_classes="data",
        loss_cls=dict(type="CrossEntropyLoss", class_weight=[1.0] * 133 + [0.1]),
    )
    fusion = dict(type="MaskFormerFusionHead", num_things_classes=80, num_stuff_classes=53)
    model = dict(type="MaskFormer", _scope_="mmdet", panoptic_head=head, panoptic_fusion_head=fusion)
    with DefaultScope.overwrite_default_scope("dense3d"):
        filled = fill_classes(model, lambda: data("panoptic"))
    assert filled["panoptic_head"]["num_things_classes"] == 3
    assert filled["panoptic_head"]["num_stuff_classes"] == 2
    assert filled["panoptic_head"]["loss_cls"]["class_weight"] == [1.0] * 5 + [0.1]
    assert filled["panoptic_fusion_head"] == fusion  # what is written stays
    assert head["num_stuff_classes"] == "data"


def test_a_count_that_nothing_tells_is_asked_for():
    model = dict(type="mmdet.DINO", bbox_head=dict(type="mmdet.DINOHead"))
    with DefaultScope.overwrite_default_scope("dense3d"):
        with pytest.raises(
            ConfigError, match=r"model\.bbox_head: num_classes is left out, and no data set tells"
        ):
            fill_classes(model, lambda: None)
        relation = dict(type="RelationDETR")
        assert "num_classes" not in fill_classes(relation, lambda: None)  # its own default stays
        relation["num_classes"] = "data"
        with pytest.raises(ConfigError, match="model: num_classes is left out"):
            fill_classes(relation, lambda: None)


def test_proposals_backbones_and_heads_of_other_things_keep_their_numbers():
    class Head(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.num_classes = num_classes

    agnostic, binary = Head(1), Head(2)
    agnostic.class_agnostic, binary.out_channels = True, 1
    parts = dict(rpn_head=Head(1), backbone=Head(1000), mask_head=agnostic, decode_head=Head(5))
    assert faults_of(nn.ModuleDict(parts), data()) == []
    assert faults_of(nn.ModuleDict(dict(decode_head=binary)), data(classes=2)) == []
    (fault,) = faults_of(nn.ModuleDict(dict(a=Head(80), b=Head(80), c=Head(5))), data())
    assert fault.startswith("model.a (Head) has num_classes=80, but the data has 5 classes (a, b, c, ...)")
    assert "write num_classes=5 there and in 1 more parts" in fault


def test_weights_of_classes_are_as_many_as_the_classes():
    class Head(nn.Module):
        def __init__(self, weights) -> None:
            super().__init__()
            self.num_classes, self.loss_cls = CLASSES, nn.Module()
            self.loss_cls.class_weight = weights

    for sound in (None, 2.0, [1.0] * CLASSES, [1.0] * CLASSES + [0.1]):
        assert faults_of(nn.ModuleDict(dict(bbox_head=Head(sound))), data()) == []
    (fault,) = faults_of(nn.ModuleDict(dict(bbox_head=Head([1.0] * 80 + [0.1]))), data())
    assert fault.startswith("model.bbox_head.loss_cls.class_weight has 81 weights for 5 classes")


def with_classes(cfg):
    """Panoptic data sets read their classes from a file, which a fresh clone has not rendered."""
    if cfg.train_dataloader.dataset.type == "CocoPanopticDataset":
        names = ("box", "sphere", "cylinder", "cone", "torus", "cross", "floor", "wall", "sky")
        metainfo = dict(classes=names, thing_classes=names[:6], stuff_classes=names[6:])
        cfg.train_dataloader.dataset.metainfo = metainfo
    return cfg


@pytest.mark.parametrize(
    "config",
    [
        "dino_r18_synthetic-coco",
        "co-dino_r18_synthetic-coco",
        "relation-detr_r18_synthetic-coco",
        "vit-comer-t_upernet_synthetic-ade20k",
        "monodetr_r18_synthetic-kitti",
        "kmax_r18_synthetic-panoptic",
    ],
)
def test_a_config_without_counts_builds_the_model_of_its_data(config):
    cfg = with_classes(load_config(config))
    with torch.device("meta"):
        whole = build_model(cfg)
        cfg.model = without_counts(cfg.model.to_dict())
        bare = build_model(cfg)
    assert {k: v.shape for k, v in bare.state_dict().items()} == {
        k: v.shape for k, v in whole.state_dict().items()
    }


def test_the_word_data_stands_where_a_base_has_a_number():
    options = {"model.num_classes": "data", "model.thing_classes": "data"}
    cfg = with_classes(load_config("kmax_r18_synthetic-panoptic", options))
    with torch.device("meta"):
        model = build_model(cfg)
    assert (model.num_classes, len(model.thing_classes)) == (9, 6)


def test_a_checkpoint_tells_the_classes_of_its_model(tmp_path):
    model = load_config("dino_r18_synthetic-coco").model.to_dict()
    three = dict(model, bbox_head=dict(model["bbox_head"], num_classes=3))
    torch.manual_seed(0)
    weights = build_model(three).state_dict()
    meta = dict(dataset_meta=dict(classes=("x", "y", "z")))
    torch.save(dict(state_dict=weights, meta=meta), tmp_path / "three.pth")
    cfg = load_config("dino_r18_synthetic-coco")
    del cfg.model.bbox_head["num_classes"]
    assert build_model(cfg, tmp_path / "three.pth").bbox_head.num_classes == 3
    assert build_model(cfg.model, tmp_path / "three.pth").bbox_head.num_classes == 3


def test_classes_of_a_config_are_those_of_the_data_set():
    coco = dict(type="dense3d.CocoDataset", ann_file="x.json", metainfo=dict(classes=("cat", "dog")))
    wrapped = dict(type="RepeatDataset", times=2, dataset=dict(type="ConcatDataset", datasets=[coco, coco]))
    with DefaultScope.overwrite_default_scope("dense3d"):
        found = classes_of_config(dict(training=None, validation=dict(dataset=wrapped)))
        assert found.names == ("cat", "dog") and found.source == "the validation data (x.json)"
        usual = dict(dataset=dict(type="mmdet.CocoPanopticDataset"))
        panoptic = classes_of_config(dict(training=usual))
        assert (len(panoptic.names), len(panoptic.things), len(panoptic.stuff)) == (133, 80, 53)
        kitti = dict(dataset=dict(type="KittiDataset", data_root="x", ann_file="y"))
        assert classes_of_config(dict(test=kitti)).names == ("Pedestrian", "Car", "Cyclist")
        folder = dict(dataset=dict(type="ImageFolder", data_root="x"))
        assert classes_of_config(dict(training=folder)) is None


def test_every_model_of_ours_for_images_is_in_the_table():
    assert (
        {"RelationDETR", "KMaXDeepLab", "Mask2Former", "MonoDETR"} <= set(HEADS) <= {*HEADS, *MODELS.names()}
    )
