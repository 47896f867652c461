"""Calibration: projection both ways, sensors' frames, mirrored and warped images, faults."""

from __future__ import annotations

import numpy as np
import pytest

from dense3d.datasets.kitti import read_calibration, read_velodyne
from dense3d.structures import KittiCalibration


@pytest.fixture
def calibration(sample_data) -> KittiCalibration:
    return read_calibration(sample_data / "kitti/training/calib/000001.txt")


def points(count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack(
        [rng.uniform(-20, 20, count), rng.uniform(-2, 2, count), rng.uniform(3, 60, count)], axis=1
    )


@pytest.mark.parametrize("camera", range(4))
def test_projection_follows_the_matrix_and_comes_back(calibration, camera):
    matrix = calibration.matrices()[f"P{camera}"]
    for point in points(5):
        homogeneous = matrix @ [*point, 1]
        pixels, depth = calibration.project(point[None], camera)
        np.testing.assert_allclose(pixels[0], homogeneous[:2] / homogeneous[2])
        assert depth[0] == pytest.approx(homogeneous[2])
    pixels, depth = calibration.project(points(), camera)
    np.testing.assert_allclose(calibration.unproject(pixels, depth, camera), points(), atol=1e-9)


def test_lidar_and_camera_both_ways(calibration):
    moved = calibration.rect_to_lidar(points())
    np.testing.assert_allclose(calibration.lidar_to_rect(moved), points(), atol=1e-9)
    # the lidar looks forward where the camera does, and sits some 27 cm behind it
    np.testing.assert_allclose(calibration.camera_to_lidar[:3, 2], [1, 0, 0], atol=0.02)
    assert calibration.camera_to_lidar[0, 3] == pytest.approx(0.27, abs=0.02)


def test_known_figures_of_the_rig(calibration):
    assert calibration.baseline == pytest.approx(0.53, abs=0.005)
    np.testing.assert_allclose(calibration.camera_offset, [-0.06, 0, 0], atol=0.005)
    assert calibration.imu_to_camera.shape == (4, 4)
    pinhole = KittiCalibration.pinhole(700.0, (600.0, 170.0), baseline=0.54, lidar_height=0.1)
    assert pinhole.baseline == pytest.approx(0.54)
    np.testing.assert_allclose(pinhole.rect_to_lidar(np.array([1.0, 2.0, 3.0])), [3, -1, -2.1])


def test_lidar_points_fall_on_the_road_below_the_horizon(sample_data, calibration):
    cloud = read_velodyne(sample_data / "kitti/training/velodyne/000001.bin")[:, :3]
    ground = cloud[(cloud[:, 2] < -1.5) & (cloud[:, 0] > 5)]
    pixels, depth = calibration.project(calibration.lidar_to_rect(ground))
    assert (depth > 4).all()
    assert (pixels[:, 1] > calibration.P2[1, 2]).all()


def test_mirrored_images(calibration):
    width = 1242
    flipped = calibration.flipped(width)
    mirrored = points() * [-1, 1, 1]
    for camera in range(4):
        pixels, depth = calibration.project(points(), camera)
        there, same = flipped.project(mirrored, camera)
        np.testing.assert_allclose(there[:, 0], width - 1 - pixels[:, 0], atol=1e-8)
        np.testing.assert_allclose(there[:, 1], pixels[:, 1], atol=1e-8)
        np.testing.assert_allclose(same, depth)
    lidar = calibration.rect_to_lidar(points()) * [1, -1, 1]
    np.testing.assert_allclose(flipped.lidar_to_rect(lidar), mirrored, atol=1e-9)
    back = flipped.flipped(width).matrices()
    for name, matrix in calibration.matrices().items():
        np.testing.assert_allclose(back[name], matrix, atol=1e-9)


def test_warped_images(calibration):
    matrix = np.array([[1.1, 0, -30], [0, 1.2, 5]])
    pixels, _ = calibration.project(points())
    moved, _ = calibration.warped(matrix).project(points())
    np.testing.assert_allclose(moved, pixels @ matrix[:, :2].T + matrix[:, 2], atol=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P2": np.zeros((4, 3))}, r"P2 must have shape \(3, 4\), not \(4, 3\)"),
        ({"P2": np.ones((3, 4))}, "P2 is singular"),
        ({"P3": np.zeros((3, 4))}, "P3 is singular"),
        ({"R0_rect": np.diag([1.0, 1.0, 0.0])}, "R0_rect is singular"),
        ({"Tr_velo_to_cam": np.full((3, 4), np.nan)}, "Tr_velo_to_cam holds a value that is not finite"),
    ],
)
def test_faulty_matrices(change, message):
    sound = KittiCalibration.pinhole(700.0, (600.0, 170.0)).matrices()
    with pytest.raises(ValueError, match=message):
        KittiCalibration(**(sound | change))


def test_there_are_four_cameras(calibration):
    with pytest.raises(ValueError, match="0 to 3, not 4"):
        calibration.project(points(), 4)
