"""Crops that keep every thing: the same window for all, empty masks for what lies outside."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope

from dense3d.datasets.panoptic.loading import RandomCropKeepingThings
from dense3d.registry import DATASETS

CONFIG = Path(__file__).resolve().parents[3] / "configs/_base_/datasets/coco_panoptic.py"


def sample(height: int, width: int, things: int) -> dict:
    """An image whose pixels are their own coordinates, with things of random pixels and one in a corner."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    masks = rng.integers(0, 2, (things, height, width)).astype(np.uint8)
    if things:
        masks[0] = 0
        masks[0, 0, 0] = 1
    return {
        "img": np.stack([y, x, y], axis=-1),
        "img_shape": (height, width),
        "gt_seg_map": (y * width + x) % 251,
        "gt_masks": BitmapMasks(masks, height, width),
        "gt_bboxes": HorizontalBoxes(np.zeros((things, 4), np.float32)),
        "gt_bboxes_labels": np.arange(things),
        "gt_ignore_flags": np.zeros(things, bool),
    }


@pytest.mark.parametrize(("size", "shape"), [((4, 6), (6, 4)), ((50, 3), (3, 9)), ((50, 50), (8, 9))])
@pytest.mark.parametrize("things", [0, 3])
def test_one_window_for_all(size: tuple, shape: tuple, things: int) -> None:
    before = sample(8, 9, things)
    places = set()
    np.random.seed(0)
    for _ in range(300):
        after = RandomCropKeepingThings(size)(copy.deepcopy(before))
        top, left = after["img"][0, 0, :2]
        places.add((int(top), int(left)))
        window = slice(top, top + shape[0]), slice(left, left + shape[1])
        assert after["img"].shape[:2] == after["img_shape"] == shape
        assert np.array_equal(after["img"], before["img"][window])
        assert np.array_equal(after["gt_seg_map"], before["gt_seg_map"][window])
        assert np.array_equal(after["gt_masks"].masks, before["gt_masks"].masks[(slice(None), *window)])
        assert after["gt_bboxes_labels"].tolist() == list(range(things))
        assert len(after["gt_bboxes"]) == len(after["gt_ignore_flags"]) == things
        for mask, box in zip(after["gt_masks"].masks, after["gt_bboxes"].tensor.tolist()):
            rows, columns = np.nonzero(mask)
            outside = not len(rows)
            assert box == (
                [0] * 4 if outside else [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            )
    assert places == {(y, x) for y in range(9 - shape[0]) for x in range(10 - shape[1])}


def test_a_thing_outside_stays_with_an_empty_mask() -> None:
    np.random.seed(0)
    cut = [RandomCropKeepingThings((2, 2))(sample(20, 20, 2))["gt_masks"].masks[0].any() for _ in range(20)]
    assert not all(cut)


def test_the_pipeline_of_coco_keeps_all_things(sample_data: Path) -> None:
    cfg = Config.fromfile(CONFIG).train_dataloader.dataset
    cfg.update(data_root=str(sample_data / "coco_panoptic"), indices=3)
    cfg.pipeline[3].scale, cfg.pipeline[4].crop_size = (256, 256), (128, 128)
    with DefaultScope.overwrite_default_scope("dense3d"):
        dataset = DATASETS.build(cfg)
    np.random.seed(0)
    empty = 0
    for index in [0, 1, 2] * 3:
        things = dataset[index]["data_samples"].gt_instances
        listed = dataset.get_data_info(index)["instances"]
        assert sorted(things.labels.tolist()) == sorted(i["bbox_label"] for i in listed)
        empty += int((~things.masks.masks.any(axis=(1, 2))).sum())
    assert empty > 0
