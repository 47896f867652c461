"""Results of radiance grids: pictures, figures, files."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from dense3d.errors import DataError
from dense3d.results import GridResult
from dense3d.structures import RadianceGrid
from dense3d.visualization.grids import box_corners, draw_grid, project


@pytest.fixture
def grid() -> RadianceGrid:
    values = np.zeros((6, 4, 8, 4), np.float32)
    values[1, 2, 5] = (1, 0, 0, 1)
    return RadianceGrid(values, [0, 0, 0], [3, 2, 4])


def test_projections_show_a_voxel_where_it_is(grid):
    values = grid.to_tensor().numpy()
    for right, up, place in [(0, 1, (1, 2)), (0, 2, (1, 5)), (1, 2, (2, 5))]:
        picture = project(values, right, up)
        red = np.argwhere((picture == [255, 0, 0]).all(-1))
        assert red.tolist() == [[picture.shape[0] - 1 - place[1], place[0]]]
    assert draw_grid(values, 80).shape == (round(80 * 4 / 8) + 2 * 80 + 12, 80, 3)


def test_corners_are_those_of_the_structure():
    import torch

    from dense3d.structures import Boxes3D

    boxes = np.array([[1.0, 2, 3, 4, 2, 1, 0.7]])
    expected = Boxes3D(torch.from_numpy(boxes), "world").corners()[0].numpy()
    found = box_corners(boxes)[0]
    assert np.abs(found[:, None] - expected).sum(-1).min(1).max() < 1e-6


def test_each_kind_is_drawn_and_written(grid, tmp_path):
    made = grid.to_tensor().numpy()
    kinds = {
        "mae": dict(predicted=made, removed=np.ones(grid.resolution, bool), mse=0.01, psnr=20.0),
        "finer": dict(predicted=np.ones((4, 9, 6, 12), np.float32)),
        "labels": dict(voxel_labels=np.full(grid.resolution, 2), classes=("void", "wall", "lamp")),
        "boxes": dict(boxes=np.array([[2.0, 2, 4, 2, 2, 2, 0.1]]), scores=np.array([0.9])),
    }
    kinds["unnamed"] = dict(voxel_labels=np.full(grid.resolution, 300))
    words = {}
    for name, fields in kinds.items():
        result = GridResult(name, grid, **fields)
        words[name] = str(result)
        picture = result.save(tmp_path / f"{name}.png")
        assert (cv2.imread(str(picture))[..., ::-1] == result.plot()).all()
        assert json.loads(result.save(tmp_path / f"{name}.json").read_text())["voxels"] == [6, 4, 8]
    assert words["mae"] == "a reconstruction of 100% of the grid, 20.0 dB"
    assert (words["finer"], words["labels"], words["boxes"]) == ("a grid of 9x6x12 voxels", "lamp", "1 boxes")
    finer = RadianceGrid.load(GridResult("finer", grid, **kinds["finer"]).save(tmp_path / "finer.npz"))
    assert finer.resolution == (9, 6, 12) and finer.occupied.sum() > 0
    boxes = GridResult("boxes", grid, **kinds["boxes"])
    assert boxes.world_boxes()[0, :3] == pytest.approx([1, 1, 2])
    assert np.load(boxes.save(tmp_path / "boxes.npy")) == pytest.approx(kinds["boxes"]["boxes"])


def test_voxels_that_were_seen_are_drawn_as_they_are(grid):
    removed = np.zeros(grid.resolution, bool)
    result = GridResult("mae", grid, predicted=np.zeros((4, *grid.resolution)), removed=removed, psnr=1.0)
    given, masked, made = result._panels().values()
    assert (made == given).all() and (masked == given).all()
    removed[:] = True  # of which nothing was predicted
    assert (result._panels()["made, 1.0 dB"] == 255).all()


def test_what_cannot_be_written_is_said(grid, tmp_path):
    file = tmp_path / "scene.npz"
    grid.save(file)
    result = GridResult("scene", grid, predicted=grid.to_tensor().numpy(), path=file)
    with pytest.raises(DataError, match="is the grid itself"):
        result.save(file)
    with pytest.raises(DataError, match="there is no array"):
        result.save(tmp_path / "a.npy")
    with pytest.raises(DataError, match=r"written as \.png"):
        result.save(tmp_path / "a.obj")
    with pytest.raises(DataError, match="no prediction, broken"):
        GridResult("scene", error="broken").plot()
