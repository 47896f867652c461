"""Voxels of points against a dictionary; sparse voxels looked up; bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.errors import DataError
from dense3d.ops import VoxelHash, backends, cube_offsets, unique_voxels, voxel_coordinates, voxelize

BACKENDS = [row.backend for row in backends("voxelize") if row.device == "cpu"]
SEARCHES = [row.backend for row in backends("VoxelHash") if row.device == "cpu"]


def cloud(number: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(number, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [1, 30, 2000])
@pytest.mark.parametrize("with_batch", [False, True])
def test_voxels_are_those_of_a_dictionary(backend, number, with_batch):
    points = cloud(number)
    batch = torch.randint(3, (number,), generator=torch.Generator().manual_seed(1)) if with_batch else None
    voxels = voxelize(points, 0.25, batch=batch, backend=backend)
    cells: dict[tuple, list[int]] = {}
    for index, point in enumerate(points.numpy()):
        key = (
            0 if batch is None else int(batch[index]),
            *np.floor(point / np.float32(0.25)).astype(int).tolist(),
        )
        cells.setdefault(key, []).append(index)
    rows = torch.cat([voxels.batch[:, None], voxels.coordinates], 1)
    assert [tuple(row) for row in rows.tolist()] == sorted(cells)
    assert voxels.counts.tolist() == [len(cells[key]) for key in sorted(cells)]
    assert torch.equal(rows[voxels.inverse, 1:], voxel_coordinates(points, 0.25))
    order, starts = voxels.members()
    parts = [order[s : s + c].tolist() for s, c in zip(starts.tolist(), voxels.counts.tolist())]
    assert parts == [cells[key] for key in sorted(cells)]
    assert len(voxels) == len(cells)


@pytest.mark.parametrize("backend", BACKENDS)
def test_coordinates_of_any_size(backend):
    """Too far apart for one 64-bit number a voxel."""
    rows = torch.tensor([[1 << 40, 0, 0], [-(1 << 40), 1 << 40, 3], [0, 0, -(1 << 40)], [1 << 40, 0, 0]])
    voxels = unique_voxels(rows, backend=backend)
    assert voxels.coordinates.tolist() == [rows[1].tolist(), rows[2].tolist(), rows[0].tolist()]
    assert voxels.inverse.tolist() == [2, 0, 1, 2]


def test_sizes_and_origins():
    points = torch.tensor([[0.5, 1.0, -0.1], [-1.0, 2.9, 3.0]])
    assert voxel_coordinates(points, (0.5, 1.0, 3.0)).tolist() == [[1, 1, -1], [-2, 2, 1]]
    assert voxel_coordinates(points, 1.0, origin=(-1.0, 1.0, -0.1)).tolist() == [[1, 0, 0], [0, 1, 3]]
    assert voxel_coordinates(points.half(), 1.0).tolist() == [[0, 1, -1], [-1, 2, 3]]
    assert voxel_coordinates(points.T.contiguous().T, 1.0).tolist() == [[0, 1, -1], [-1, 2, 3]]
    fine = torch.tensor([[0.12345678949, 0.0, 0.0]], dtype=torch.float64)
    assert voxel_coordinates(fine, 1e-9)[0, 0] == 123456789  # more digits than float32 has


@pytest.mark.parametrize("how", ["mean", "sum", "max", "min"])
@pytest.mark.parametrize("shape", [(300,), (300, 4)])
def test_values_are_reduced_by_voxel(how, shape):
    voxels = voxelize(cloud(300), 0.8)
    values = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    found = voxels.reduce(values, how)
    parts = [values[voxels.inverse == v] for v in range(len(voxels))]
    expected = torch.stack(
        [p.amax(0) if how == "max" else p.amin(0) if how == "min" else getattr(p, how)(0) for p in parts]
    )
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    grads = [torch.autograd.grad((y * weight).sum(), values)[0] for y in (found, expected)]
    torch.testing.assert_close(*grads)


def test_representatives_are_drawn_evenly():
    voxels = voxelize(torch.tensor([[0.5, 0, 0]] * 4 + [[1.5, 0, 0]]), 1.0)
    assert voxels.representatives().tolist() == [0, 4]
    random = torch.Generator().manual_seed(0)
    drawn = torch.stack([voxels.representatives(random) for _ in range(2000)])
    assert (drawn[:, 1] == 4).all()
    share = torch.bincount(drawn[:, 0], minlength=4) / 2000
    assert (share - 0.25).abs().max() < 0.05  # five standard deviations


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_points(backend):
    voxels = voxelize(torch.zeros(0, 3), 0.1, backend=backend)
    shapes = [tuple(t.shape) for t in (voxels.coordinates, voxels.batch, voxels.inverse, voxels.counts)]
    assert shapes == [(0, 3), (0,), (0,), (0,)]
    assert voxels.reduce(torch.zeros(0, 5)).shape == (0, 5)
    assert voxels.representatives().shape == (0,)


def test_voxelize_refuses():
    points = cloud(5)
    for size in (0.0, -1.0, float("nan"), (1.0, 2.0), (1.0, 0.0, 1.0)):
        with pytest.raises(DataError, match="voxel_size must be a positive length or three"):
            voxelize(points, size)
    with pytest.raises(DataError, match=r"points \(N, 3\), not \(1, 5, 3\)"):
        voxelize(points[None], 0.1)
    with pytest.raises(DataError, match=r"points \(N, 3\), not \(5, 4\)"):
        voxelize(torch.zeros(5, 4), 0.1)
    with pytest.raises(DataError, match=r"not \(5, 3\) of torch\.int64"):
        voxelize(points.long(), 0.1)
    with pytest.raises(DataError, match="too small for coordinates up to"):
        voxelize(points * 1e10, 1e-10)
    with pytest.raises(DataError, match="NaN or infinite"):
        voxelize(points / 0, 0.1)
    with pytest.raises(DataError, match="a cloud for each of 5 points"):
        voxelize(points, 0.1, batch=torch.zeros(4, dtype=torch.long))
    with pytest.raises(DataError, match="must not be negative, but reach down to -1"):
        voxelize(points, 0.1, batch=torch.full((5,), -1))
    with pytest.raises(DataError, match="reduced by mean, sum, max, min, not 'median'"):
        voxelize(points, 0.1).reduce(points, "median")
    with pytest.raises(DataError, match="4 values are not one for each of the 5 points"):
        voxelize(points, 0.1).reduce(points[:4])


@pytest.mark.parametrize("backend", SEARCHES)
@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("shuffled", [False, True])
def test_neighbours_are_those_of_a_dictionary(backend, reach, shuffled):
    random = torch.Generator().manual_seed(reach)
    voxels = unique_voxels(
        torch.randint(-4, 5, (250, 3), generator=random), torch.randint(3, (250,), generator=random)
    )
    coordinates, batch = voxels.coordinates, voxels.batch
    if shuffled:
        order = torch.randperm(len(batch), generator=random)
        coordinates, batch = coordinates[order], batch[order]
    rows = [(b, *c) for b, c in zip(batch.tolist(), coordinates.tolist())]
    where = {row: index for index, row in enumerate(rows)}
    table = VoxelHash(coordinates.int(), batch)
    offsets = cube_offsets(reach)
    found = table.neighbours(offsets, backend=backend)
    expected = [
        [where.get((b, x + i, y + j, z + k), -1) for i, j, k in offsets.tolist()] for b, x, y, z in rows
    ]
    assert found.tolist() == expected
    queries = coordinates[:, None] + offsets
    assert torch.equal(table.lookup(queries, batch[:, None].expand(-1, len(offsets))), found)


@pytest.mark.parametrize("backend", SEARCHES)
def test_neighbours_of_one_voxel_and_of_none(backend):
    assert VoxelHash(torch.tensor([[7, -7, 7]])).neighbours(backend=backend).tolist() == [
        [-1] * 13 + [0] + [-1] * 13
    ]
    empty = VoxelHash(torch.zeros(0, 3, dtype=torch.long))
    assert empty.neighbours(backend=backend).shape == (0, 27)
    assert empty.lookup(torch.zeros(2, 5, 3, dtype=torch.long)).tolist() == [[-1] * 5] * 2
    assert VoxelHash(torch.tensor([[1, 2, 3]])).neighbours(cube_offsets()[:0], backend=backend).shape == (
        1,
        0,
    )


def test_a_neighbour_in_another_row_is_none():
    """Keys of the end of one row and of the beginning of the next are next to each other."""
    table = VoxelHash(torch.tensor([[0, 0, 2], [0, 1, 0], [0, 1, 2]]))
    assert table.lookup(torch.tensor([[0, 0, 3], [0, 1, -1], [1, 0, 0]])).tolist() == [-1, -1, -1]
    assert table.neighbours(torch.tensor([[0, 0, 1]])).tolist() == [[-1]] * 3


def test_voxel_hash_refuses():
    with pytest.raises(DataError, match=r"voxel \[1, 2, 3\] of cloud 0 occurs more than once"):
        VoxelHash(torch.tensor([[1, 2, 3], [0, 0, 0], [1, 2, 3]]))
    with pytest.raises(DataError, match="span a box whose cells no 64-bit number counts"):
        VoxelHash(torch.tensor([[0, 0, 0], [1 << 30, 1 << 30, 1 << 30]]))
    with pytest.raises(DataError, match=r"whole numbers \(N, 3\), not \(2, 3\) of torch\.float32"):
        VoxelHash(torch.zeros(2, 3))
