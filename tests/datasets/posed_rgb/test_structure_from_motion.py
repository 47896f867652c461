"""Structure from motion of real photographs: the poses are those that are known of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.posed_rgb import read_scene, structure_from_motion
from dense3d.errors import ConfigError, DataError

PHOTOGRAPHS = 8


def test_poses_of_real_photographs_are_found(sample_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")  # which has no wheel for Linux on ARM
    fox = sample_data / "nerf" / "fox"
    known = {Path(frame.name).name: frame for frame in read_scene(fox).frames}
    chosen = sorted(known)[:PHOTOGRAPHS]
    (tmp_path / "photographs").mkdir()
    for name in chosen:
        shutil.copy(fox / "images" / name, tmp_path / "photographs")
    said: list[str] = []
    out = structure_from_motion(tmp_path / "photographs", tmp_path / "out", tell=said.append)
    scene = read_scene(out)
    assert [frame.name for frame in scene.frames] == chosen and len(scene.points) > 200
    assert said == [f"structure from motion: 8 of 8 photographs, {len(scene.points)} points"]
    first, *others = scene.frames
    for frame in others:  # turns between cameras, which do not depend on the frame of the world
        pairs = ((first, frame), (known[first.name], known[frame.name]))
        found, truth = (one.camera.rotation.T @ two.camera.rotation for one, two in pairs)
        angle = np.degrees(np.arccos(np.clip((np.trace(found.T @ truth) - 1) / 2, -1, 1)))
        assert angle < 1.5, frame.name
    assert structure_from_motion(tmp_path / "photographs", out) == out  # it is there already
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_too_few_photographs_and_no_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder of photographs"):
        structure_from_motion(tmp_path / "none", tmp_path / "out")
    (tmp_path / "few").mkdir()
    with pytest.raises(DataError, match="few has 0 photographs"):
        structure_from_motion(tmp_path / "few", tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(ConfigError, match="out holds files, but no COLMAP model"):
        structure_from_motion(tmp_path / "few", tmp_path / "out")
