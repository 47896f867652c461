"""Scores of the working grid, interpolated to the full grid, slab by slab."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

SLAB_VALUES = 2**24  # float32 at a time


def upsampled(
    scores: np.ndarray, shape: tuple[int, int, int], factors: tuple[int, int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Linear interpolation between the centres of blocks; beyond the last centre the nearest holds.

    Args:
        scores: (C, X, Y, Z) uint8 on the working grid.
        shape: (X', Y', Z') of the full grid.
        factors: full voxels in a working one along each axis.

    Yields:
        First index along x and the scores (C, n, Y', Z') uint8 from there.

    Example:
        >>> scores = np.array([0, 100], np.uint8).reshape(1, 2, 1, 1)
        >>> [(low, slab.ravel().tolist()) for low, slab in upsampled(scores, (4, 1, 1), (2, 1, 1))]
        [(0, [0, 25, 75, 100])]
    """
    slab = max(1, SLAB_VALUES // max(1, len(scores) * shape[1] * shape[2]))
    (low_x, share_x), *others = (_places(n, f, m) for n, f, m in zip(shape, factors, scores.shape[1:]))
    for low in range(0, shape[0], slab):
        rows, share = low_x[low : low + slab], share_x[low : low + slab]
        part = _between(scores, 1, rows, share, factors[0])
        for axis, (rows, share) in enumerate(others):
            part = _between(part, axis + 2, rows, share, factors[axis + 1])
        yield low, part if part.dtype == np.uint8 else np.rint(part).astype(np.uint8)


def repeated(array: np.ndarray, shape: tuple[int, int, int], factors: tuple[int, int, int]) -> np.ndarray:
    """(X', Y', Z') of the full grid: each working voxel for all of its block."""
    places = [np.arange(size) // factor for size, factor in zip(shape, factors)]
    return array if array.shape == shape else array[np.ix_(*places)]


def _places(size: int, factor: int, working: int) -> tuple[np.ndarray, np.ndarray]:
    """For each full index the working index below it and the share of the next one."""
    place = np.clip((np.arange(size) - (factor - 1) / 2) / factor, 0, working - 1)
    low = np.minimum(place.astype(np.int64), max(working - 2, 0))
    return low, (place - low).astype(np.float32)


def _between(scores: np.ndarray, axis: int, low: np.ndarray, share: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return scores.take(low + np.rint(share).astype(np.int64), axis)
    share = share.reshape((-1,) + (1,) * (scores.ndim - axis - 1))
    high = np.minimum(low + 1, scores.shape[axis] - 1)
    first = scores.take(low, axis).astype(np.float32)
    return first + share * (scores.take(high, axis) - first)
