"""The pinhole camera against KITTI's projection matrix and its own inverse."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

import dense3d.structures.camera as camera_module
from dense3d.structures.camera import PinholeCamera, rotate


@pytest.fixture
def camera() -> PinholeCamera:
    return PinholeCamera.look_at((3.0, -4.0, 2.5), (0.2, 0.1, 0.5), 320, 240, math.radians(60), roll=0.1)


def test_examples() -> None:
    assert doctest.testmod(camera_module).failed == 0


def test_projection_is_the_matrix_product_of_kitti(camera: PinholeCamera) -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    matrix = camera.intrinsics @ camera.world_to_camera[:3]  # (3, 4), as a KITTI P with its extrinsics
    expected = np.c_[points, np.ones(50)] @ matrix.T
    pixels, depth = camera.project(points)
    np.testing.assert_allclose(depth, expected[:, 2], atol=1e-12)
    np.testing.assert_allclose(pixels, expected[:, :2] / expected[:, 2:], atol=1e-9)


def test_unproject_inverts_project(camera: PinholeCamera) -> None:
    points = np.random.default_rng(1).normal(size=(50, 3))
    np.testing.assert_allclose(camera.unproject(*camera.project(points)), points, atol=1e-12)


def test_axes_are_right_down_forward() -> None:
    camera = PinholeCamera.look_at((0, 0, 1), (10, 0, 1), 101, 51, math.radians(90))
    # Looking along world x with z up: the camera's right is world -y, its down is world -z.
    np.testing.assert_allclose(camera.rotation, [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1)


def test_target_is_the_middle_of_the_image_and_fov_its_width(camera: PinholeCamera) -> None:
    pixels, _ = camera.project(np.array([[0.2, 0.1, 0.5]]))
    np.testing.assert_allclose(pixels[0], [159.5, 119.5], atol=1e-9)
    border = camera.directions(np.array([[-0.5, 119.5], [319.5, 119.5]]))
    cosine = border[0] @ border[1] / np.linalg.norm(border, axis=1).prod()
    assert math.degrees(math.acos(cosine)) == pytest.approx(60)


def test_roll_turns_the_camera_clockwise() -> None:
    level = PinholeCamera.look_at((0, -5, 0), (0, 0, 0), 100, 100, 1.0)
    rolled = PinholeCamera.look_at((0, -5, 0), (0, 0, 0), 100, 100, 1.0, roll=0.3)
    above = np.array([[0.0, 0.0, 1.0]])
    # A camera turned clockwise sees what is above it turn counter-clockwise: to the left.
    assert rolled.project(above)[0][0, 0] < level.project(above)[0][0, 0] - 5


def test_rotate_is_the_matrix_product() -> None:
    rng = np.random.default_rng(2)
    points, matrix = rng.normal(size=(4, 5, 3)), rng.normal(size=(3, 3))
    np.testing.assert_allclose(rotate(points, matrix), points @ matrix.T, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "at least one pixel"),
        ({"intrinsics": np.eye(4)}, "intrinsics must have shape"),
        ({"camera_to_world": np.eye(3)}, "camera_to_world must have shape"),
        ({"intrinsics": np.diag([-1.0, 1, 1])}, "must be positive"),
    ],
)
def test_bad_cameras_are_named(change: dict, message: str) -> None:
    good = {"width": 4, "height": 3, "intrinsics": np.eye(3), "camera_to_world": np.eye(4)}
    with pytest.raises(ValueError, match=message):
        PinholeCamera(**{**good, **change})


def test_a_vertical_view_needs_an_explicit_pose() -> None:
    with pytest.raises(ValueError, match="straight up or down"):
        PinholeCamera.look_at((0, 0, 5), (0, 0, 0), 10, 10, 1.0)
