"""Posed photographs of all three layouts against their pictures: epipolar lines, lenses, depth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dense3d.datasets.posed_rgb import PosedFrame, PosedScene, read_scene
from dense3d.datasets.synthetic import make_dataset


def epipolar_errors(first: PosedFrame, second: PosedFrame, points: int = 2000) -> np.ndarray:
    """(N,) distances in pixels of SIFT matches in the second view from the line that the first one gives."""
    detector = cv2.SIFT_create(points)
    found = [detector.detectAndCompute(frame.read_image(), None) for frame in (first, second)]
    matches = cv2.BFMatcher().knnMatch(found[0][1], found[1][1], k=2)
    good = [pair[0] for pair in matches if len(pair) == 2 and pair[0].distance < 0.75 * pair[1].distance]
    one = np.array([found[0][0][match.queryIdx].pt for match in good]).reshape(-1, 2)
    two = np.array([found[1][0][match.trainIdx].pt for match in good]).reshape(-1, 2)
    if first.distortion is not None:
        one = first.distortion.undistort(one, first.camera.intrinsics)
    if second.distortion is not None:
        two = second.distortion.undistort(two, second.camera.intrinsics)
    lines = homogeneous(one) @ fundamental(first, second).T
    return np.abs((lines * homogeneous(two)).sum(1)) / np.linalg.norm(lines[:, :2], axis=1)


def fundamental(first: PosedFrame, second: PosedFrame) -> np.ndarray:
    """(3, 3) from pixels of the first view to lines in the second."""
    motion = second.camera.world_to_camera @ first.camera.camera_to_world
    x, y, z = motion[:3, 3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    inverse = [np.linalg.inv(frame.camera.intrinsics) for frame in (first, second)]
    return inverse[1].T @ cross @ motion[:3, :3] @ inverse[0]


def homogeneous(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def median_error(scene: PosedScene, pairs: list[tuple[int, int]]) -> float:
    return float(
        np.median(np.concatenate([epipolar_errors(scene.frames[i], scene.frames[j]) for i, j in pairs]))
    )


@pytest.mark.parametrize(
    ("name", "pairs", "least", "largest"),
    [  # the figures of the samples' manifest, which other code measured
        ("nerf/fox", [(0, 1), (20, 21)], 0.1, 0.2),
        ("nerf/fox_undistorted", [(5, 6)], 0.1, 0.2),
        ("nerf/lego", [(26, 69), (58, 45)], 0.02, 0.2),
        ("scannet_posed", [(0, 1), (2, 3)], 0.8, 3.5),
    ],
)
def test_matches_lie_on_epipolar_lines(sample_data: Path, name, pairs, least, largest) -> None:
    assert least < median_error(read_scene(sample_data / name), pairs) < largest


def test_another_convention_would_show(sample_data: Path) -> None:
    """OpenGL's axes taken for OpenCV's, or poses the other way round, are not near the figures above."""
    first, second = read_scene(sample_data / "nerf/fox").frames[:2]
    right = np.median(epipolar_errors(first, second))

    def changed(pose_of) -> list[PosedFrame]:
        return [
            replace(frame, camera=replace(frame.camera, camera_to_world=pose_of(frame.camera)))
            for frame in (first, second)
        ]

    opengl = changed(lambda camera: camera.camera_to_world @ np.diag([1.0, -1, -1, 1]))
    inverse = changed(lambda camera: camera.world_to_camera)
    for wrong in (opengl, inverse):
        assert np.median(epipolar_errors(*wrong)) > 8 * right


def test_an_undistorted_photograph_is_the_sample_s_own(sample_data: Path) -> None:
    """The second folder was undistorted with OpenCV before it was compressed."""
    bent, straight = (
        read_scene(sample_data / f"nerf/{name}").frames[3] for name in ("fox", "fox_undistorted")
    )
    assert straight.distortion is None and bent.distortion is not None
    np.testing.assert_array_equal(bent.camera.camera_to_world, straight.camera.camera_to_world)
    inner = (slice(30, -30), slice(20, -20))
    truth = straight.read_image().astype(float)[inner]
    ours, plain = (
        image.astype(float)[inner] for image in (bent.undistorted(bent.read_image()), bent.read_image())
    )
    assert np.abs(ours - truth).mean() < 0.5 * np.abs(plain - truth).mean()
    assert np.abs(ours - truth).mean() < 5


def test_samples_have_their_views_and_splits(sample_data: Path) -> None:
    fox = read_scene(sample_data / "nerf/fox")
    assert len(fox.frames) == 50 and not fox.left_out and fox.extra == {"aabb_scale": 4}
    assert [len(fox.split(name).frames) for name in ("train", "val", "test")] == [44, 6, 6]
    lego = read_scene(sample_data / "nerf/lego", "val")
    assert lego.layout == "blender" and len(lego.frames) == 10
    alpha = lego.frames[0].read_image(alpha=True)[..., 3]
    assert alpha.min() == 0 and alpha.max() == 255
    assert lego.frames[0].camera.intrinsics[0, 2] == 99.5
    assert len(read_scene(sample_data / "scannet_posed").frames) == 4


def test_depth_of_a_synthetic_sequence_agrees_between_its_views(tmp_path: Path) -> None:
    recipe = dict(layouts=("stereo",), train=1, val=0, size=(128, 96), workers=1, progress=False)
    assert make_dataset(tmp_path / "data", **recipe)
    scene = read_scene(tmp_path / "data/posed/train_000000")
    assert len(scene.frames) == 8 and scene.depth_is_known()
    assert len(scene.split("val").frames) == 2 and len(scene.split("train").frames) == 6
    depths = [frame.read_depth() for frame in scene.frames]
    for index in range(1, 5):
        first, second = scene.frames[0], scene.frames[index]
        known = depths[0] > 0
        points = first.camera.unproject(first.camera.pixel_grid()[known], depths[0][known])
        pixels, depth = second.project(points)
        column, row = np.rint(pixels).astype(int).T
        inside = (column >= 0) & (column < 128) & (row >= 0) & (row < 96) & (depth > 0)
        seen = depths[index][row[inside], column[inside]]
        ratio = depth[inside] / np.where(seen > 0, seen, np.inf)
        assert inside.mean() > 0.4
        assert (ratio < 1.03).mean() < 1.0 and np.mean(
            np.abs(ratio - 1) < 0.03
        ) > 0.8  # the others are hidden
        colors = [frame.read_image().astype(float) for frame in (first, second)]
        same = np.abs(ratio - 1) < 0.03
        difference = np.abs(
            colors[0][known][inside][same] - colors[1][row[inside][same], column[inside][same]]
        )
        assert np.median(difference) < 12
