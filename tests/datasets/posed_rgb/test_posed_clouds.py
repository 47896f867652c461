"""Clouds of RGB-D frames in ScanNet's layout: places, colours, what is left out."""

import cv2
import numpy as np
import pytest

from dense3d.datasets.posed_rgb.clouds import frame_cloud, frames_cloud
from dense3d.datasets.posed_rgb.scannet import read_scannet
from dense3d.errors import ConfigError, DataError

# cameras at 1.5 m height that look along y and along x; depth has half the size of colour
POSES = {
    0: [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]],
    1: [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]],
}


@pytest.fixture
def scene(tmp_path):
    for name in ("color", "depth", "pose", "intrinsic"):
        (tmp_path / name).mkdir()
    depth = np.full((12, 16), 2000, dtype=np.uint16)  # a wall two metres ahead
    depth[0, :] = 0
    image = np.zeros((24, 32, 3), dtype=np.uint8)
    image[:, :16] = (0, 0, 255)  # red on the left, in OpenCV's order
    image[:, 16:] = (255, 0, 0)
    for number, pose in POSES.items():
        cv2.imwrite(str(tmp_path / "depth" / f"{number}.png"), depth)
        cv2.imwrite(str(tmp_path / "color" / f"{number}.png"), image)
        np.savetxt(tmp_path / "pose" / f"{number}.txt", pose)
    for name, scale in (("intrinsic_color", 2), ("intrinsic_depth", 1)):
        matrix = np.array([[10 * scale, 0, 8 * scale, 0], [0, 10 * scale, 6 * scale, 0]])
        np.savetxt(tmp_path / "intrinsic" / f"{name}.txt", np.vstack([matrix, np.eye(4)[2:]]))
    return read_scannet(tmp_path)


def test_points_lie_on_the_wall_and_have_its_colours(scene):
    cloud = frame_cloud(scene.frames[0])
    assert len(cloud) == 11 * 16
    np.testing.assert_allclose(cloud.points[:, 1], 2, atol=1e-5)
    left = cloud.points[:, 0] < 0
    np.testing.assert_array_equal(cloud.colors[left], np.tile([1, 0, 0], (left.sum(), 1)))
    np.testing.assert_array_equal(cloud.colors[~left], np.tile([0, 0, 1], ((~left).sum(), 1)))
    # the pixel of row 6, the camera's height, and one row below
    np.testing.assert_allclose(cloud.points[5 * 16, 2], 1.5, atol=1e-5)
    np.testing.assert_allclose(cloud.points[6 * 16, 2], 1.5 - 2 / 10, atol=1e-5)


def test_frames_meet_in_the_world(scene):
    cloud = frames_cloud(scene.frames, stride=2)
    assert len(cloud) == 2 * 5 * 8
    np.testing.assert_allclose(cloud.points[:40, 1], 2, atol=1e-5)
    np.testing.assert_allclose(cloud.points[40:, 0], 2, atol=1e-5)


def test_what_is_far_or_missing(scene):
    assert len(frame_cloud(scene.frames[0], zfar=1.9)) == 0
    with pytest.raises(ConfigError, match=r"stride=0"):
        frame_cloud(scene.frames[0], stride=0)
    with pytest.raises(ConfigError, match=r"at least one frame"):
        frames_cloud([])
    scene.frames[0].depth_path.unlink()
    with pytest.raises(DataError, match=r"0.png"):
        frame_cloud(scene.frames[0])
