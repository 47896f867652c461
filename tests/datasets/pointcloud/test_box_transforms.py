"""Hulls of turned boxes, and boxes that nothing was seen of."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from dense3d.datasets.pointcloud.transforms import apply_matrix, rotation
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS, TRANSFORMS
from dense3d.structures import Boxes3D


def _step(**cfg):
    with DefaultScope.overwrite_default_scope("dense3d"):
        return TRANSFORMS.build(cfg)


def test_hulls_enclose_the_corners_of_turned_boxes():
    rng = np.random.default_rng(0)
    boxes = np.concatenate(
        [rng.normal(size=(9, 3)), rng.uniform(0.2, 2, (9, 3)), np.zeros((9, 1))], axis=1
    ).astype(np.float32)
    results = {"points": np.zeros((1, 3)), "gt_boxes": boxes}
    turned = apply_matrix(dict(results), rotation(2, 0.7))
    hulls = _step(type="AlignBoxes").transform(dict(turned))["gt_boxes"]
    corners = Boxes3D(torch.from_numpy(turned["gt_boxes"]), "world").corners().numpy()
    expected = np.concatenate([corners.max(1) + corners.min(1), 2 * np.ptp(corners, axis=1)], axis=1) / 2
    np.testing.assert_allclose(hulls[:, :6], expected, atol=1e-5)
    assert not hulls[:, 6].any()
    mirrored = apply_matrix(dict(results), np.diag([-1.0, 1, 1]))
    aligned = _step(type="AlignBoxes").transform(mirrored)["gt_boxes"]
    np.testing.assert_allclose(aligned, boxes * [-1, 1, 1, 1, 1, 1, 1], atol=1e-6)
    assert _step(type="AlignBoxes").transform({}) == {}


def test_boxes_without_points_go_and_instances_follow():
    boxes = np.array([[0, 0, 0, 1, 1, 1, 0.3], [5, 0, 0, 1, 1, 1, 0], [9, 0, 0, 1, 1, 1, 0]])
    points = np.array([[0, 0, 0.1], [9, 0.1, 0], [9, 0, 0.4], [9, 0, -0.4], [3, 3, 3]])
    results = {"points": points, "gt_boxes": boxes, "gt_box_labels": np.array([1, 2, 3])}
    results["instances"] = np.array([0, 2, 2, 2, -1])
    found = _step(type="DropUnseenBoxes", min_points=2).transform(results)
    assert found["gt_box_labels"].tolist() == [3] and found["gt_boxes"].tolist() == [boxes[2].tolist()]
    assert found["instances"].tolist() == [-1, 0, 0, 0, -1]
    empty = {"points": points, "gt_boxes": np.zeros((0, 7)), "gt_box_labels": np.zeros(0, int)}
    assert len(_step(type="DropUnseenBoxes").transform(empty)["gt_boxes"]) == 0
    with pytest.raises(
        DataError, match=r"points of instance 7 and 3 boxes: number the instances as the rows"
    ):
        strange = dict(gt_boxes=boxes, gt_box_labels=np.arange(3), instances=np.full(5, 7))
        _step(type="DropUnseenBoxes").transform(dict(results, **strange))
    with pytest.raises(ConfigError, match=r"min_points=0"):
        _step(type="DropUnseenBoxes", min_points=0)


def test_scanned_rooms_have_boxes_of_what_was_seen(tmp_path):
    root = str(tmp_path / "rooms")
    ensure_dataset(root, layouts=("rooms",), train=0, val=4, points=4000, scan=True)
    steps = [
        dict(type="LoadPoints"),
        dict(type="DropUnseenBoxes", min_points=10),
        dict(type="PackPointInputs"),
    ]
    cfg = dict(type="SyntheticRooms", data_root=root, split="val", task="detection", pipeline=steps)
    with DefaultScope.overwrite_default_scope("dense3d"):
        rooms = DATASETS.build(cfg)
    for room in rooms:
        sample = room["data_samples"]
        counts = np.bincount(sample.gt_instances[sample.gt_instances >= 0], minlength=len(sample.gt_boxes))
        assert len(sample.gt_boxes) and len(counts) == len(sample.gt_boxes)
        assert (counts > 0).all() and sample.gt_box_labels.max() < 12
