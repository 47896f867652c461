"""Data preprocessors of mask transformers get what the pipelines of their configs deliver, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import DefaultScope

from dense3d.config import load_config
from dense3d.registry import MODELS, TRANSFORMS

FOLDER = Path(__file__).resolve().parents[2] / "configs"
NAMES = sorted(
    path.relative_to(FOLDER).as_posix()
    for pattern in (
        "mask2former/*.py",
        "kmax_deeplab/*.py",
        "eco_m2f/eco-m2f*.py",
        "vit_comer/mask2former*.py",
    )
    for path in FOLDER.glob(pattern)
)
SIZE = (48, 72)  # smaller than every crop


def loaded(loader: dict) -> dict:
    """What a transform that loads annotations adds to an image, by its arguments."""
    kind = loader["type"].rpartition(".")[2]
    panoptic = kind == "LoadPanopticAnnotations"
    segmentation = loader.get("_scope_") == "mmseg"  # its LoadAnnotations has labels of pixels alone
    results = {}
    if panoptic or loader.get("with_bbox", not segmentation):
        results["gt_bboxes"] = HorizontalBoxes(torch.tensor([[4.0, 4.0, 40.0, 30.0]]))
        results["gt_bboxes_labels"] = np.zeros(1, np.int64)
        results["gt_ignore_flags"] = np.zeros(1, bool)
    if panoptic or loader.get("with_mask", False):
        mask = np.zeros((1, *SIZE), np.uint8)
        mask[:, 4:30, 4:40] = 1
        results["gt_masks"] = BitmapMasks(mask, *SIZE)
    if panoptic or segmentation or loader.get("with_seg", False):
        results["gt_seg_map"] = np.zeros(SIZE, np.uint8)
        results["seg_fields"] = ["gt_seg_map"]
    return results


@pytest.mark.parametrize("name", NAMES)
def test_small_image_is_preprocessed(name):
    cfg = load_config(FOLDER / name)
    dataset = cfg.train_dataloader.dataset
    loader, packing = (
        next(step for step in dataset.pipeline if part in step["type"]) for part in ("Annotations", "Pack")
    )
    scope = dataset.get("_scope_", "dense3d")
    results = dict(
        img=np.zeros((*SIZE, 3), np.uint8), img_id=0, img_path="0.jpg", img_shape=SIZE, ori_shape=SIZE
    )
    results |= dict(scale_factor=(1.0, 1.0), flip=False, flip_direction=None)
    results |= loaded(dict(loader, _scope_=loader.get("_scope_", scope)))
    with DefaultScope.overwrite_default_scope(scope):
        packed = TRANSFORMS.build(packing)(results)
    with DefaultScope.overwrite_default_scope(cfg.model.get("_scope_", "dense3d")):
        preprocessor = MODELS.build(cfg.model.data_preprocessor)
    batch = preprocessor({key: [value] for key, value in packed.items()}, training=True)
    padded = tuple(batch["inputs"].shape[-2:])
    assert padded >= SIZE
    sample = batch["data_samples"][0]
    assert "gt_sem_seg" in sample or "gt_instances" in sample
    if "gt_sem_seg" in sample and "mmseg" in type(sample).__module__:
        assert tuple(sample.gt_sem_seg.data.shape[-2:]) == padded


@pytest.mark.parametrize("name", [name for name in NAMES if "cityscapes" in name])
def test_crops_of_cityscapes_are_wide(name):
    cfg = load_config(FOLDER / name)
    crop = next(step for step in cfg.train_dataloader.dataset.pipeline if step["type"].endswith("RandomCrop"))
    results = dict(img=np.zeros((1040, 2080, 3), np.uint8), img_shape=(1040, 2080))
    results["gt_seg_map"] = np.zeros((1040, 2080), np.uint8)
    scope = cfg.train_dataloader.dataset.get("_scope_", "dense3d")
    with DefaultScope.overwrite_default_scope(scope):
        height, width = TRANSFORMS.build(crop)(results)["img"].shape[:2]
    assert (height, width) == ((1025, 2049) if "kmax" in name else (512, 1024))
