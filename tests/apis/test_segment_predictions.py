"""Masks and panoptic maps from image files to written files: what is written is what the model gave."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from pycocotools import mask as mask_tools

from dense3d.apis import build_model, infer, load
from dense3d.apis.pipelines import inference_steps
from dense3d.config import load_config
from dense3d.datasets.panoptic.id_map import read_id_map

THINGS, STUFF = ("box", "sphere", "cylinder", "cone", "torus", "cross"), ("floor", "wall", "sky")
CATEGORY_IDS = [3, 4, 5, 6, 7, 8, 11, 12, 19]
PANOPTIC = {"model.test_cfg.score_threshold": 0.0, "model.test_cfg.overlap_threshold": 0.01}
INSTANCES = """
_base_ = "dense3d::mask_rcnn/mask-rcnn_convnext-t_fpn_8xb2-36e_coco.py"
model = dict(
    backbone=dict(
        _delete_=True, type="dense3d.ConvNeXt", arch=dict(dims=(8, 16, 16, 16), depths=(1, 1, 1, 1))
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.0, max_per_img=6)),
)
pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.Resize", scale=(96, 64), keep_ratio=True),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name in ("one.png", "two.png"):
        coarse = random.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(coarse, (96, 64)))
    return sorted(folder.iterdir())


def checkpoint_of(cfg, folder: Path, meta: dict) -> Path:
    torch.manual_seed(0)
    state = build_model(cfg).state_dict()
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=meta)), folder / "random.pth")
    return folder / "random.pth"


def given(cfg, checkpoint: Path, path: Path):
    """The model's own data sample of an image."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.no_grad():
        item = Compose(inference_steps(cfg))({"img_path": str(path), "img_id": 0})
        return build_model(cfg, checkpoint).test_step(pseudo_collate([item]))[0]


def test_panoptic_files(images, tmp_path):
    cfg = load_config("mask2former_r18_synthetic-panoptic", PANOPTIC)
    meta = dict(classes=THINGS + STUFF, category_ids=CATEGORY_IDS)
    checkpoint = checkpoint_of(cfg, tmp_path, meta)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/predictions.json").write_text("what dense3d test --out wrote")
    report = infer(cfg, checkpoint, images, tmp_path / "out", device="cpu")
    assert report.results == tmp_path / "out/panoptic.json"
    assert (tmp_path / "out/predictions.json").read_text() == "what dense3d test --out wrote"
    assert not list((tmp_path / "out").glob("*.jsonl"))
    annotations = json.loads((tmp_path / "out/panoptic.json").read_text())["annotations"]
    assert [annotation["file_name"] for annotation in annotations] == ["one.png", "two.png"]
    for path, annotation in zip(images, annotations, strict=True):
        coded = given(cfg, checkpoint, path).pred_panoptic_seg.sem_seg[0].numpy()
        ids = read_id_map(tmp_path / "out/panoptic" / annotation["file_name"])
        assert annotation["segments_info"]
        for segment in annotation["segments_info"]:
            (code,) = np.unique(coded[ids == segment["id"]])  # label + 1000 x instance number
            assert (coded == code).sum() == segment["area"]
            assert CATEGORY_IDS[code % 1000] == segment["category_id"]
        assert (coded[ids == 0] % 1000 >= len(CATEGORY_IDS)).all()
        result = load(cfg, checkpoint, device="cpu")(path)
        assert np.array_equal(result.panoptic, ids)


def test_instance_files(images, tmp_path):
    (tmp_path / "config.py").write_text(INSTANCES)
    cfg = load_config(tmp_path / "config.py")
    checkpoint = checkpoint_of(cfg, tmp_path, dict(classes=[f"class {i}" for i in range(80)]))
    report = infer(cfg, checkpoint, images, tmp_path / "out", score_threshold=0.0, device="cpu")
    entries = json.loads(report.results.read_text())
    for number, path in enumerate(images, 1):
        found = given(cfg, checkpoint, path).pred_instances
        own = [entry for entry in entries if entry["image_id"] == number]
        assert len(own) == len(found) > 0
        assert [entry["category_name"] for entry in own] == [f"class {i}" for i in found.labels.tolist()]
        assert [entry["score"] for entry in own] == found.scores.tolist()
        masks = np.stack([mask_tools.decode(entry["segmentation"]) for entry in own]).astype(bool)
        assert np.array_equal(masks, found.masks.numpy())
        result = load(cfg, checkpoint, device="cpu", score_threshold=0.0)(path)
        assert np.array_equal(result.masks, masks)
        assert result.to_coco(number) == own
