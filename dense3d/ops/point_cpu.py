"""Operators on clouds of points on the CPU: tensors to the numba kernels and back."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from dense3d.ops.cpu_execution import parallel_for
from dense3d.ops.point_checks import working_dtype

SORTED_FROM = 160  # points of a cloud, below which looking at all of them is quicker than sorting
QUERIES_AT_ONCE = 256  # of one task


def numba_unavailable() -> str | None:
    """Why the compiled kernels cannot be used; None where they can."""
    try:
        import dense3d.ops.point_kernels  # noqa: F401
    except Exception as error:  # numba checks its NumPy and its LLVM at import, with errors of many types
        return f"numba cannot be imported ({error})"
    return None


def farthest_points(
    points: Tensor, num_samples: int, start: Tensor, skip_origin: bool, lengths: Tensor | None
) -> Tensor:
    """``farthest_point_sample``, cloud by cloud."""
    from dense3d.ops import point_kernels as kernels
    from dense3d.ops.farthest_points import OFFICIAL_START, SKIPPED_NORM

    cloud = _array(points)
    chosen = np.zeros((len(cloud), num_samples), np.int64)
    rule = (SKIPPED_NORM, OFFICIAL_START) if skip_origin else (-1.0, np.inf)
    parallel_for(
        kernels.farthest_points,
        len(cloud),
        cloud,
        _lengths(lengths, points),
        start.numpy(),
        rule[0],
        cloud.dtype.type(rule[1]),
        _bits(points.shape[1]),
        chosen,
    )
    return torch.from_numpy(chosen)


def nearest_k(queries: Tensor, points: Tensor, k: int, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """``knn`` in float32; float64, whose distances fill a key alone, is left to the reference."""
    from dense3d.ops.nearest_points import knn_reference

    if points.dtype != torch.float32:
        return knn_reference(queries, points, k, lengths)
    from dense3d.ops import neighbour_kernels as kernels

    counts = _lengths(lengths, points)
    table = _blocks(points, counts)
    found = np.empty((*queries.shape[:2], k), np.int64)
    squared = np.empty(found.shape, np.float32)
    parts = max(1, queries.shape[1] // QUERIES_AT_ONCE)
    parallel_for(
        kernels.nearest_k,
        len(queries) * parts,
        _array(queries),
        _order(queries, _lengths(None, queries)),
        counts,
        table,
        parts,
        found,
        squared,
    )
    return torch.from_numpy(squared), torch.from_numpy(found)


def nearest_of_both(
    x: Tensor, y: Tensor, x_lengths: Tensor | None, y_lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Index of the nearest point of the other cloud, for ``chamfer_distance``."""
    from dense3d.ops.chamfer import nearest_reference

    if not (torch.isfinite(x.sum()) and torch.isfinite(y.sum())):
        return nearest_reference(x, y, x_lengths, y_lengths)  # which knows what NaN does to minima
    x_counts, y_counts = _lengths(x_lengths, x), _lengths(y_lengths, y)
    return _nearest(x, x_counts, y, y_counts), _nearest(y, y_counts, x, x_counts)


def _nearest(queries: Tensor, query_lengths: np.ndarray, points: Tensor, lengths: np.ndarray) -> Tensor:
    from dense3d.ops import point_kernels as kernels

    found = np.zeros(queries.shape[:2], np.int64)
    arrays = _array(queries), _order(queries, query_lengths), query_lengths, lengths
    parallel_for(kernels.nearest, len(queries), *arrays, _blocks(points, lengths), found)
    return torch.from_numpy(found)


def balls(queries: Tensor, points: Tensor, radius: float, k: int, lengths: Tensor | None) -> Tensor:
    """``ball_query``, by blocks of points in the order of their indices."""
    from dense3d.ops import point_kernels as kernels

    number = points.shape[1]
    rows = points.new_zeros(len(points), 3, -(-number // kernels.BLOCK) * kernels.BLOCK)
    rows[:, :, :number] = points.transpose(1, 2)
    found = np.zeros((*queries.shape[:2], k), np.int64)
    parts = max(1, queries.shape[1] // QUERIES_AT_ONCE)
    arrays = _array(queries), rows.numpy(), _lengths(lengths, points)
    squared_radius = torch.tensor(radius, dtype=points.dtype).square().numpy()[()]
    parallel_for(kernels.balls, len(queries) * parts, *arrays, squared_radius, parts, found)
    return torch.from_numpy(found)


def hilbert_codes(coordinates: Tensor, bits: int) -> Tensor:
    """``hilbert_code``, voxel by voxel."""
    from dense3d.ops import point_kernels as kernels

    codes = torch.empty(len(coordinates), dtype=torch.long)
    _in_parts(kernels.hilbert_codes, len(coordinates), coordinates.contiguous().numpy(), bits, codes.numpy())
    return codes


def shifted_keys(keys: Tensor, order: Tensor, shifts: Tensor) -> Tensor:
    """Neighbours of the voxels of a ``VoxelHash``."""
    from dense3d.ops import point_kernels as kernels

    found = torch.empty(len(keys), len(shifts), dtype=torch.long)
    part = 4096
    arrays = keys.numpy(), order.numpy(), shifts.numpy()
    parallel_for(kernels.shifted_keys, -(-len(keys) // part), *arrays, part, found.numpy())
    return found


def _in_parts(kernel, count: int, *args, part: int = 4096) -> None:
    """:func:`parallel_for` over parts of a long list of quick tasks."""

    def run(first: int, last: int) -> None:
        kernel(first * part, min(last * part, count), *args)

    parallel_for(run, -(-count // part))


def _array(points: Tensor) -> np.ndarray:
    return points.detach().to(working_dtype(points)).contiguous().numpy()


def _lengths(lengths: Tensor | None, points: Tensor) -> np.ndarray:
    return np.full(len(points), points.shape[1]) if lengths is None else lengths.numpy()


def _bits(number: int) -> int:
    """Of the Morton curve: about a block to a cell that a surface passes, and once finer."""
    return min(max(round(math.log2(max(number, 1) / 32) / 2) + 1, 2), 7)


def _blocks(points: Tensor, lengths: np.ndarray) -> tuple[np.ndarray, ...]:
    """What ``make_blocks`` makes of clouds."""
    from dense3d.ops import point_kernels as kernels

    array = _array(points)
    batch, number, most = len(array), array.shape[1], -(-array.shape[1] // kernels.BLOCK)
    groups = -(-most // kernels.GROUP)
    table = (
        np.empty((batch, most, 3, kernels.BLOCK), array.dtype),
        np.empty((batch, most, kernels.BLOCK), np.int32),
        np.empty((batch, groups, 6, kernels.GROUP), array.dtype),
        np.empty((batch, 6, groups), array.dtype),
    )
    bits = _bits(number) if number >= SORTED_FROM else 0
    parallel_for(kernels.make_blocks, batch, array, lengths, bits, *table)
    return table


def _order(queries: Tensor, lengths: np.ndarray) -> np.ndarray:
    """``(B, M)`` int32: queries along a Morton curve where there are enough of them to gain by it."""
    from dense3d.ops import point_kernels as kernels

    batch, number = queries.shape[:2]
    if number < SORTED_FROM:
        return np.tile(np.arange(number, dtype=np.int32), (batch, 1))
    order = np.empty((batch, number), np.int32)
    parallel_for(kernels.query_orders, batch, _array(queries), lengths, _bits(number), order)
    return order
