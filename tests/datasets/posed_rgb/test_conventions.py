"""Poses that do not fit the photographs: the convention that would is found by matching the photographs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.posed_rgb import check_poses, read_scene, require_fitting_poses
from dense3d.errors import ConfigError, DataError


def rewritten(source: Path, target: Path, change) -> Path:
    """A transforms file of four of the fox's photographs with other matrices."""
    content = json.loads((source / "transforms.json").read_text())
    content["frames"] = sorted(content["frames"], key=lambda frame: frame["file_path"])[:12:3]
    for key in [key for key in content if key.endswith("_filenames")]:
        del content[key]
    for frame in content["frames"]:
        frame["file_path"] = str((source / frame["file_path"]).resolve())
        frame["transform_matrix"] = change(np.array(frame["transform_matrix"])).tolist()
    target.mkdir(exist_ok=True)
    (target / "transforms.json").write_text(json.dumps(content))
    return target


@pytest.fixture
def fox(sample_data: Path) -> Path:
    return sample_data / "nerf" / "fox"


TURN = np.diag([1.0, -1, -1, 1])


def test_real_poses_fit_and_turned_or_inverted_ones_are_named(fox: Path, tmp_path: Path) -> None:
    as_it_is = require_fitting_poses(read_scene(rewritten(fox, tmp_path, lambda pose: pose)))
    assert as_it_is.shares[as_it_is.read] > 0.8 and as_it_is.matches > 100
    opencv = read_scene(rewritten(fox, tmp_path, lambda pose: pose @ TURN))
    with pytest.raises(DataError, match=r"camera to world, axes of OpenCV .*--axes opencv"):
        require_fitting_poses(opencv)
    assert check_poses(read_scene(tmp_path, axes="opencv")).better is None
    with pytest.raises(DataError, match=r"fit world to camera, axes of OpenCV .*convert the matrices"):
        require_fitting_poses(read_scene(rewritten(fox, tmp_path, lambda p: np.linalg.inv(p @ TURN))))
    with pytest.raises(DataError, match=r"fit world to camera, axes of OpenGL"):
        require_fitting_poses(read_scene(rewritten(fox, tmp_path, np.linalg.inv)))


def test_mirrored_axes_name_the_conventions(fox: Path, tmp_path: Path) -> None:
    path = rewritten(fox, tmp_path, lambda pose: pose @ np.diag([1.0, 1, -1, 1]))
    with pytest.raises(DataError, match=r"transforms.json, frame 0 .*mirrors.*Unity.*OpenGL.*OpenCV"):
        read_scene(path)


def test_axes_and_a_world_that_are_both_left_handed_are_found_and_told(fox: Path, tmp_path: Path) -> None:
    """As Unity writes them: two mirrors leave matrices that look like any others."""
    mirror = np.diag([1.0, -1, 1, 1])
    path = rewritten(fox, tmp_path, lambda pose: mirror @ (pose @ TURN) @ mirror)
    with pytest.raises(
        DataError, match=r"fit camera to world, left-handed axes of Unity .*second row and the second"
    ):
        require_fitting_poses(read_scene(path))
    content = json.loads((path / "transforms.json").read_text())
    for frame in content["frames"]:  # the remedy
        matrix = np.array(frame["transform_matrix"])
        matrix[1] *= -1
        matrix[:, 1] *= -1
        frame["transform_matrix"] = matrix.tolist()
    (path / "transforms.json").write_text(json.dumps(content))
    assert require_fitting_poses(read_scene(path, axes="opencv")).better is None


def test_axes_are_a_choice_of_transforms_files_alone(sample_data: Path) -> None:
    with pytest.raises(ConfigError, match="is of scannet, whose axes are known"):
        read_scene(sample_data / "scannet_posed", axes="opencv")
    with pytest.raises(ConfigError, match="axes='gl'"):
        read_scene(sample_data / "nerf" / "fox", axes="gl")
