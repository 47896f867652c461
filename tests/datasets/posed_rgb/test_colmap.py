"""COLMAP models: poses, lenses and points are what pycolmap says of the files that it wrote."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest

from dense3d.datasets.posed_rgb import read_scene
from dense3d.errors import DataError

SIZE = (80, 60)
LENSES = {
    "SIMPLE_PINHOLE": [70, 41, 29],
    "PINHOLE": [70, 72, 41, 29],
    "SIMPLE_RADIAL": [70, 41, 29, 0.05],
    "RADIAL": [70, 41, 29, 0.05, 0.01],
    "OPENCV": [70, 72, 41, 29, 0.05, 0.01, 0.002, 0.001],
    "FULL_OPENCV": [70, 72, 41, 29, 0.05, 0.01, 0.002, 0.001, 0.003, 0.01, 0.02, 0.005],
    "OPENCV_FISHEYE": [70, 72, 41, 29, 0.05, 0.01, 0.002, 0.001],
    "SIMPLE_RADIAL_FISHEYE": [70, 41, 29, 0.05],
    "RADIAL_FISHEYE": [70, 41, 29, 0.05, 0.01],
}


def write_model(root: Path, suffix: str, lens: str = "OPENCV"):
    """A model of four photographs and ten points, and its folder ``images``."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 4, 10
    options.camera_width, options.camera_height = SIZE
    options.camera_model_id = getattr(pycolmap.CameraModelId, lens)
    options.camera_params = LENSES.get(lens, [70, 72, 41, 29, *[0.01] * 8])
    pycolmap.set_random_seed(3)
    model = pycolmap.synthesize_dataset(options)
    (root / "sparse" / "0").mkdir(parents=True)
    (model.write_binary if suffix == ".bin" else model.write_text)(str(root / "sparse" / "0"))
    (root / "images").mkdir()
    for image in model.images.values():
        cv2.imwrite(str(root / "images" / image.name), np.zeros((*SIZE[::-1], 3), np.uint8))
    return model


@pytest.mark.parametrize("suffix", [".bin", ".txt"])
@pytest.mark.parametrize("lens", LENSES)
def test_points_are_seen_where_colmap_sees_them(tmp_path: Path, suffix: str, lens: str) -> None:
    model = write_model(tmp_path, suffix, lens)
    scene = read_scene(tmp_path)
    assert scene.layout == "colmap" and len(scene.frames) == 4 and not scene.left_out
    truth = np.array([point.xyz for point in model.points3D.values()])
    order = np.lexsort(truth.T)
    found = scene.points.points[np.lexsort(scene.points.points.T.astype(np.float64))]
    np.testing.assert_allclose(found, truth[order], atol=1e-5)
    by_name = {image.name: image for image in model.images.values()}
    for frame in scene.frames:
        seen, depth = frame.project(truth)
        ahead = depth > 0.2
        expected = np.array([by_name[frame.name].project_point(point) for point in truth[ahead]])
        np.testing.assert_allclose(seen[ahead] + 0.5, expected, atol=1e-6)  # COLMAP counts from the corner


@pytest.mark.parametrize("suffix", [".bin", ".txt"])
@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_what_was_cut_off_is_named(tmp_path: Path, suffix: str, name: str) -> None:
    write_model(tmp_path, suffix)
    path = tmp_path / "sparse/0" / f"{name}{suffix}"
    path.write_bytes(path.read_bytes()[: -30 if suffix == ".txt" and name == "cameras" else -45])
    if suffix == ".txt" and name != "cameras":
        path.write_text("\n".join(line[:25] for line in path.read_text().splitlines()))
    with pytest.raises(DataError, match=rf"{name}\{suffix}.*(cut off|none of COLMAP's|parameters)"):
        read_scene(tmp_path)


def test_lenses_that_cannot_be_undistorted_are_refused_by_name(tmp_path: Path) -> None:
    write_model(tmp_path, ".bin", "THIN_PRISM_FISHEYE")
    with pytest.raises(DataError, match=r"THIN_PRISM_FISHEYE cannot be undistorted here.*image_undistorter"):
        read_scene(tmp_path)


def test_missing_photographs_are_counted_and_none_is_an_error(tmp_path: Path) -> None:
    write_model(tmp_path, ".bin")
    images = sorted((tmp_path / "images").iterdir())
    images[1].unlink()
    scene = read_scene(tmp_path)
    assert len(scene.frames) == 3 and "photograph does not exist" in scene.left_out[0]
    for image in (images[0], *images[2:]):
        image.unlink()
    with pytest.raises(DataError, match="none of its 4 photographs can be used"):
        read_scene(tmp_path)
