"""2D boxes of 3D boxes: closed forms, boxes that pass the camera's plane, and real labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from dense3d.datasets.kitti import read_calibration, read_objects
from dense3d.structures import Boxes3D, occlusion_level, project_boxes

MATRIX = torch.tensor([[100.0, 0, 50, 0], [0, 100, 40, 0], [0, 0, 1, 0]], dtype=torch.float64)
SIZE = (101, 81)


def camera_box(*row: float) -> Boxes3D:
    return Boxes3D(torch.tensor([row], dtype=torch.float64), "camera")


def test_the_nearest_face_gives_the_box():
    seen = project_boxes(camera_box(0, 1, 11, 2, 2, 2, 0), MATRIX, SIZE)
    assert seen.boxes.tolist() == [[40, 30, 60, 50]]
    assert seen.truncation.item() == 0
    assert seen.visible.item()


def test_truncation_is_what_the_image_cuts_off():
    half = project_boxes(camera_box(-5, 1, 11, 2, 2, 2, 0), MATRIX, SIZE)  # u from -10 to 10
    assert half.unclipped[0, [0, 2]].tolist() == pytest.approx([-10, 50 - 400 / 12])
    left, right = half.unclipped[0, [0, 2]].tolist()
    assert half.truncation.item() == pytest.approx(-left / (right - left))
    out = project_boxes(camera_box(-30, 1, 11, 2, 2, 2, 0), MATRIX, SIZE)
    assert not out.visible.item()
    assert out.boxes.abs().sum() == 0
    assert out.truncation.item() == 1


def test_boxes_beside_and_behind_the_camera():
    beside = project_boxes(camera_box(1.5, 1, 0.5, 2, 2, 4, np.pi / 2), MATRIX, SIZE)
    assert beside.visible.item()
    assert torch.isfinite(beside.unclipped).all()
    assert beside.boxes[0, 2] == SIZE[0] - 1  # reaches the right border
    behind = project_boxes(camera_box(0, 1, -5, 2, 2, 2, 0), MATRIX, SIZE)
    assert not behind.visible.item()
    assert behind.boxes.abs().sum() == 0
    assert behind.truncation.item() == 1


def test_a_cut_box_is_that_of_a_finely_divided_one():
    """Reference: the projections of many points of the box that lie before the near plane."""
    box = camera_box(1.0, 1.2, 1.0, 1.5, 1.8, 4.0, 1.2)
    corners = box.corners()[0]
    origin, axes = corners[0], torch.stack([corners[i] - corners[0] for i in (1, 3, 4)])
    grid = torch.cartesian_prod(*[torch.linspace(0, 1, 60, dtype=torch.float64)] * 3)
    points = origin + grid @ axes
    points = points[points[:, 2] >= 0.1]
    pixels = points @ MATRIX[:, :3].T
    pixels = pixels[:, :2] / pixels[:, 2:]
    expected = torch.cat([pixels.amin(0), pixels.amax(0)])
    unclipped = project_boxes(box, MATRIX, SIZE).unclipped[0]
    torch.testing.assert_close(unclipped, expected, rtol=0.35, atol=5)  # the grid misses the very near plane
    assert (unclipped[:2] <= expected[:2] + 1e-9).all()
    assert (unclipped[2:] >= expected[2:] - 1e-9).all()


def test_projected_labels_are_the_labelled_2d_boxes(sample_data):
    root, overlaps = sample_data / "kitti/training", []
    for file in sorted((root / "label_2").glob("*.txt")):
        objects = read_objects(file)
        clear = objects.select(objects.has_box3d & (objects.truncated < 0.05) & (objects.occluded == 0))
        matrix = torch.from_numpy(read_calibration(root / "calib" / file.name).P2.copy())
        boxes = Boxes3D(torch.from_numpy(clear.boxes3d), "camera")
        seen = project_boxes(boxes, matrix, (1242, 375))
        overlaps += box_iou(seen.boxes, torch.from_numpy(clear.boxes2d)).diagonal().tolist()
    assert len(overlaps) > 20
    assert np.median(overlaps) > 0.9


def test_truncated_labels_are_cut_off(sample_data):
    root, count = sample_data / "kitti/training", 0
    for file in sorted((root / "label_2").glob("*.txt")):
        objects = read_objects(file)
        cut = objects.select(objects.has_box3d & (objects.truncated > 0.3))
        matrix = torch.from_numpy(read_calibration(root / "calib" / file.name).P2.copy())
        boxes = Boxes3D(torch.from_numpy(cut.boxes3d), "camera")
        assert (project_boxes(boxes, matrix, (1242, 375)).truncation > 0.1).all()
        count += len(boxes)
    assert count >= 3


def test_occlusion_levels_and_frames():
    assert occlusion_level(np.array([1.0, 0.81, 0.79, 0.41, 0.39, 0.0])).tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="to_camera"):
        project_boxes(camera_box(0, 1, 11, 2, 2, 2, 0).to_world(), MATRIX, SIZE)
    assert project_boxes(camera_box(0, 1, 11, 2, 2, 2, 0)[:0], MATRIX, SIZE).boxes.shape == (0, 4)
