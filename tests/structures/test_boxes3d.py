"""Oriented boxes: conversions both ways, corners, and the labels of real frames against lidar."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dense3d.datasets.kitti import read_calibration, read_objects, read_velodyne
from dense3d.ops import points_in_boxes_all
from dense3d.structures import (
    Boxes3D,
    KittiCalibration,
    alpha_from_rotation_y,
    rotation_y_from_alpha,
    wrap_angle,
)


def random_boxes(count: int, frame: str, seed: int = 0) -> Boxes3D:
    generator = torch.Generator().manual_seed(seed)
    tensor = torch.rand(count, 7, generator=generator, dtype=torch.float64)
    tensor[:, :3] = (tensor[:, :3] - 0.5) * 40
    tensor[:, 3:6] = tensor[:, 3:6] * 4 + 0.5
    tensor[:, 6] = (tensor[:, 6] - 0.5) * 6
    return Boxes3D(tensor, frame)


def tilted_calibration() -> KittiCalibration:
    """KITTI's tilts: a degree or so about every axis."""
    from scipy.spatial.transform import Rotation

    upright = KittiCalibration.pinhole(700.0, (600.0, 170.0), 0.54, 0.1).matrices()
    upright["R0_rect"] = Rotation.from_euler("xyz", [0.4, -0.5, 0.6], degrees=True).as_matrix()
    lidar = upright["Tr_velo_to_cam"].copy()
    lidar[:, :3] = Rotation.from_euler("xyz", [1.0, 0.3, -0.8], degrees=True).as_matrix() @ lidar[:, :3]
    lidar[:, 3] = 0.02, -0.07, -0.27
    return KittiCalibration(**(upright | {"Tr_velo_to_cam": lidar}))


def test_camera_and_world_are_the_same_boxes():
    boxes = random_boxes(30, "camera")
    world = boxes.to_world()
    torch.testing.assert_close(world.to_camera().wrapped().tensor, boxes.wrapped().tensor)
    torch.testing.assert_close(world.volume, boxes.volume)
    for name in ("length", "width", "height"):
        assert torch.equal(getattr(world, name), getattr(boxes, name))
    x, y, z = boxes.corners().unbind(-1)
    renamed = torch.stack([z, -x, -y], -1)  # the same corners, in another order
    distance = torch.cdist(renamed, world.corners())
    assert distance.amin(1).max() < 1e-9
    assert distance.amin(2).max() < 1e-9


def test_world_boxes_come_back_from_the_camera():
    boxes = random_boxes(30, "world", 1)
    torch.testing.assert_close(boxes.to_camera().to_world().wrapped().tensor, boxes.wrapped().tensor)
    assert boxes.to_world() is boxes


def test_camera_and_lidar_both_ways_with_tilted_sensors():
    calibration = tilted_calibration()
    boxes = random_boxes(30, "camera", 2)
    lidar = boxes.to_lidar(calibration)
    back = lidar.from_lidar(calibration)
    assert (back.frame, lidar.frame) == ("camera", "world")
    torch.testing.assert_close(back.wrapped().tensor, boxes.wrapped().tensor)
    # centres move exactly, headings up to the tilt of about a degree
    centers = calibration.rect_to_lidar(boxes.center.numpy())
    np.testing.assert_allclose(lidar.center.numpy(), centers, atol=1e-9)
    ahead = torch.stack([boxes.heading.cos(), 0 * boxes.heading, -boxes.heading.sin()], -1)
    turned = ahead.numpy() @ calibration.camera_to_lidar[:3, :3].T
    error = wrap_angle(lidar.heading - torch.from_numpy(np.arctan2(turned[:, 1], turned[:, 0])))
    assert error.abs().max() < math.radians(0.1)


def test_rigid_moves_compose_and_cameras_refuse():
    boxes, turn = random_boxes(10, "world", 3), math.radians(30)
    matrix = np.eye(4)
    matrix[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    matrix[:3, 3] = 1, 2, 3
    moved = boxes.transformed(matrix)
    torch.testing.assert_close(moved.heading, boxes.heading + turn)
    corners = boxes.corners().numpy() @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(moved.corners().numpy(), corners, atol=1e-9)
    with pytest.raises(ValueError, match="to_world"):
        boxes.to_camera().transformed(matrix)


def test_corners_follow_the_equation_of_the_devkit():
    box = torch.tensor([[2.0, 1.6, 15.0, 1.5, 1.7, 4.2, 0.4]], dtype=torch.float64)
    h, w, length, turn = 1.5, 1.7, 4.2, 0.4
    rotation = np.array(
        [[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]]
    )
    x = np.array([1, 1, -1, -1] * 2) * length / 2
    y = np.array([0] * 4 + [-h] * 4)
    z = np.array([1, -1, -1, 1] * 2) * w / 2
    expected = (rotation @ np.stack([x, y, z])).T + box[0, :3].numpy()
    np.testing.assert_allclose(Boxes3D(box, "camera").corners()[0].numpy(), expected, atol=1e-12)


def test_alpha_and_rotation_y():
    boxes = random_boxes(50, "camera", 4)
    alpha = alpha_from_rotation_y(boxes.heading, boxes.bottom_center)
    torch.testing.assert_close(
        rotation_y_from_alpha(alpha, boxes.bottom_center), wrap_angle(boxes.heading), atol=1e-12, rtol=0
    )
    right = torch.tensor([[10.0, 1.6, 10.0]])  # seen under 45 degrees
    assert alpha_from_rotation_y(torch.tensor([0.0]), right).item() == pytest.approx(-math.pi / 4)
    assert -math.pi <= alpha.min() <= alpha.max() < math.pi


def test_labels_agree_with_their_own_alpha(sample_data):
    errors = []
    for file in sorted((sample_data / "kitti/training/label_2").glob("*.txt")):
        objects = read_objects(file)
        given = objects.has_box3d & (objects.truncated == 0)
        boxes = torch.from_numpy(objects.select(given).boxes3d)
        alpha = alpha_from_rotation_y(boxes[:, 6], boxes[:, :3])
        errors += wrap_angle(alpha - torch.from_numpy(objects.alpha[given])).abs().tolist()
    assert len(errors) > 40
    assert np.median(errors) < 0.02  # labels have two decimals


def test_labelled_boxes_hold_the_lidar_points_of_their_objects(sample_data):
    root = sample_data / "kitti/training"
    counts = []
    for file in sorted((root / "velodyne").glob("*.bin")):
        objects = read_objects(root / "label_2" / f"{file.stem}.txt")
        near = objects.has_box3d & (objects.location[:, 2] < 40) & (objects.occluded <= 1)
        calibration = read_calibration(root / "calib" / f"{file.stem}.txt")
        boxes = Boxes3D(torch.from_numpy(objects.select(near).boxes3d), "camera").to_lidar(calibration)
        bottom = torch.cat([boxes.bottom_center, boxes.tensor[:, 3:]], 1)[None]
        points = torch.from_numpy(read_velodyne(file)[None, :, :3]).double()
        counts += points_in_boxes_all(points, bottom)[0].sum(0).tolist()
    assert len(counts) > 15
    assert np.mean(np.array(counts) >= 5) > 0.9


def test_wrong_shapes_and_frames():
    with pytest.raises(ValueError, match=r"\(N, 7\), not \(3, 6\)"):
        Boxes3D(torch.zeros(3, 6), "world")
    with pytest.raises(ValueError, match="'lidar'"):
        Boxes3D(torch.zeros(3, 7), "lidar")
    empty = Boxes3D(torch.zeros(0, 7), "camera")
    assert empty.to_world().corners().shape == (0, 8, 3)
    assert len(random_boxes(5, "world")[torch.tensor([True, False, True, False, False])]) == 2
