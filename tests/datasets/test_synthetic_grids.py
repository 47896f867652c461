"""Synthetic rooms as radiance grids."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from dense3d.cli.dispatch import main
from dense3d.datasets.radiance_grids import SyntheticGrids
from dense3d.datasets.synthetic.grids import boxes_of, make_grids, voxelise
from dense3d.datasets.synthetic.rooms import CLASSES, RoomCloud, make_room
from dense3d.errors import ConfigError, DataError
from dense3d.structures import Boxes3D, RadianceGrid


def test_a_surface_is_opaque_where_it_is() -> None:
    """A square metre of wall in the middle of a box of two metres: its optical depth a voxel is 4."""
    rng = np.random.default_rng(0)
    plane = np.column_stack([np.full(200_000, 1.05), rng.uniform(0, 1, (200_000, 2))])
    points = np.concatenate([plane, [[0, 0, 0], [2, 1, 1]]]).astype(np.float32)
    colors = np.tile(np.array([[200, 100, 50]], np.uint8), (len(points), 1))
    labels = np.full(len(points), 1)
    room = RoomCloud(points, colors, points, labels, labels, np.zeros((0, 7)), labels[:0], area=1.0)
    grid, classes = voxelise(room, 16)
    assert grid.resolution[0] == 16 and grid.rgbsigma.dtype == np.uint8
    assert np.ptp(grid.voxel_size) < 1e-6  # cubes
    index = np.floor(grid.world_to_voxel([[1.05, 0.5, 0.5]])).astype(int)[0]
    inner = grid.density[index[0], 2:-2, 2:-2]
    assert inner.mean() == pytest.approx(1 - np.exp(-4.0), abs=0.01)
    assert grid.rgb[tuple(index)] == pytest.approx(np.array([200, 100, 50]) / 255, abs=0.01)
    assert classes[tuple(index)] == 2 and classes[index[0] + 1, 4, 4] == 0


def test_boxes_lie_around_the_voxels_of_their_things() -> None:
    room = make_room(np.random.default_rng(3), 20_000)
    grid, labels = voxelise(room, 32)
    boxes = boxes_of(room, grid)
    standing = [
        i for i, label in enumerate(room.box_labels) if CLASSES[label] not in ("door", "window", "picture")
    ]
    assert len(boxes) == len(standing) > 2
    world = grid.boxes_to_world(boxes)
    assert world == pytest.approx(room.boxes[standing], abs=1e-4)
    for box, thing in zip(boxes, standing):
        own = np.unique(
            np.floor(grid.world_to_voxel(room.points[room.instances == thing])).astype(int), axis=0
        )
        local = own + 0.5 - box[:3]
        cosine, sine = np.cos(box[6]), np.sin(box[6])
        along, across = local[:, 0] * cosine + local[:, 1] * sine, local[:, 1] * cosine - local[:, 0] * sine
        reach = np.abs(np.column_stack([along, across, local[:, 2]])) - box[3:6] / 2
        assert reach.max() < 1.0  # voxels at the border
        assert (labels[tuple(own.T)] > 0).all()


def test_finer_grids_begin_where_the_coarse_one_does() -> None:
    room = make_room(np.random.default_rng(3), 20_000)
    coarse, _ = voxelise(room, 30)
    finer, _ = voxelise(room, 48, coarse)
    assert np.abs(finer.bbox_min - coarse.bbox_min).max() == 0
    assert finer.voxel_size * 1.6 == pytest.approx(coarse.voxel_size)
    assert finer.resolution == tuple(int(side * 1.6) for side in coarse.resolution)
    middles = [grid.voxel_to_world(np.argwhere(grid.density > 0.1).mean(0) + 0.5) for grid in (coarse, finer)]
    assert np.abs(middles[0] - middles[1]).max() < 0.5 * coarse.voxel_size.max()


def test_the_data_set_reads_what_is_made(tmp_path, capsys) -> None:
    words = ["make-synthetic", "grids", str(tmp_path / "grids"), "--train", "2", "--val", "1", "--size", "24"]
    assert main([*words, "--finer", "36"]) == 0
    assert "2 train and 1 val grids of 24 voxels a side" in capsys.readouterr().out
    assert main([*words, "--finer", "36"]) == 0 and "nothing to do" in capsys.readouterr().out
    pipeline = [dict(type="LoadRadianceGrid"), dict(type="PackGridInputs")]
    folders = dict(boxes="obb", labels="semantics", finer="features_36")
    with DefaultScope.overwrite_default_scope("dense3d"):
        data = SyntheticGrids(str(tmp_path / "grids"), **folders, pipeline=pipeline)
    item = data[1]
    sample = item["data_samples"]
    assert len(data) == 2 and data.metainfo["classes"] == ("void", *CLASSES)
    assert max(item["inputs"]["grids"].shape[1:]) == 24 and max(sample.gt_grid.shape[1:]) == 36
    assert set(sample.gt_voxel_labels.unique().tolist()) <= set(range(len(CLASSES) + 1))
    corners = Boxes3D(sample.gt_boxes, "world").corners()
    aabb = np.load(tmp_path / "grids" / "aabb" / "train_0001.npy")
    assert corners.min(1).values.numpy() == pytest.approx(aabb[:, :3], abs=1e-3)
    grid = RadianceGrid.load(tmp_path / "grids" / "features" / "train_0001.npz")
    assert grid.is_alpha and grid.occupied.mean() > 0.02


def test_wrong_requests_are_refused(tmp_path) -> None:
    for arguments, message in [
        (dict(size=4), "size=4"),
        (dict(size=64, finer=32), "finer=32"),
        (dict(train=0, val=0), "both zero"),
        (dict(seed=-1), "seed=-1"),
    ]:
        with pytest.raises(ConfigError, match=message):
            make_grids(tmp_path / "x", **arguments)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(DataError, match="is not a synthetic data set"):
        make_grids(tmp_path / "other", 1, 0, 16)
