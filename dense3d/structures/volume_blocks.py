"""Means over blocks of voxels, taken slab by slab, so that what is larger than memory can be made smaller."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator

import numpy as np

SLAB_BYTES = 2**25  # of float32 at a time


def reduction_factors(shape: tuple[int, int, int], limit: int) -> tuple[int, int, int]:
    """The smallest integer factors after which no axis is longer than ``limit``.

    Example:
        >>> reduction_factors((1024, 300, 20), 256)
        (4, 2, 1)
    """
    if limit < 1:
        raise ValueError(f"an axis keeps at least one voxel: limit must be positive, not {limit}")
    return tuple(-(-size // limit) for size in shape)


def reduction_affine(factors: tuple[int, int, int]) -> np.ndarray:
    """(4, 4) from an index among blocks to the index, in voxels, of the block's centre."""
    matrix = np.diag([*map(float, factors), 1.0])
    matrix[:3, 3] = (np.array(factors) - 1) / 2
    return matrix


def block_means(values: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """The mean of each block of ``factors`` voxels; the last of an axis may be smaller.

    A memory map is read once, in the order in which it lies in the file, and its pages are let go at once.

    Args:
        values: (X, Y, Z), finite.
        factors: voxels of a block along each axis.

    Returns:
        (ceil(X/f), ceil(Y/f), ceil(Z/f)), of the same type in the machine's byte order; means of integers are
        rounded.

    Example:
        >>> block_means(np.arange(10).reshape(10, 1, 1), (4, 1, 1)).ravel().tolist()
        [2, 6, 8]
    """
    axis = int(np.argmax(np.abs(values.strides)))  # the slowest
    slabs = _slabs(values, axis, factors[axis])
    return reduce_slabs(slabs, values.shape, values.dtype, factors, axis)


def reduce_slabs(
    slabs: Iterable[np.ndarray],
    shape: tuple[int, int, int],
    dtype: np.dtype,
    factors: tuple[int, int, int],
    axis: int,
) -> np.ndarray:
    """The same of a volume that arrives in pieces along one axis.

    Args:
        slabs: (.., n, ..) pieces in ascending order, each but the last a multiple of the factor of ``axis``.
        shape: of the whole.
        dtype: of its voxels.
        factors: as for :func:`block_means`.
        axis: along which the pieces follow each other.
    """
    dtype = np.dtype(dtype).newbyteorder("=")
    small = tuple(-(-size // factor) for size, factor in zip(shape, factors))
    result = np.empty(small, dtype, order="F" if axis == 2 else "C")
    start = 0
    # the slowest axis first: it is added up plane by plane, and leaves the least for the others
    order = sorted(range(3), key=lambda other: abs(other - axis))
    for slab in slabs:
        count = np.ones((1, 1, 1))
        total = slab.astype(_sum_type(dtype, factors))
        for summed in order:
            count = count * _block_sizes(slab.shape[summed], factors[summed], summed)
            total = _block_sums(total, factors[summed], summed)
        means = total / count
        place = [slice(None)] * 3
        place[axis] = slice(start, start + means.shape[axis])
        result[tuple(place)] = np.rint(means) if dtype.kind in "iu" else means
        start += means.shape[axis]
    return result


def _sum_type(dtype: np.dtype, factors: tuple[int, int, int]) -> type:
    """A type in which a block's sum is exact, or as good as float64 allows."""
    if dtype.kind == "f":
        return np.float64
    return np.int32 if dtype.itemsize * 8 + np.log2(np.prod(factors, dtype=float)) < 31 else np.int64


def _block_sums(values: np.ndarray, factor: int, axis: int) -> np.ndarray:
    """Sums of ``factor`` neighbours along one axis; of fewer at its end."""
    if factor == 1:
        return values
    along = (slice(None),) * axis
    total = values[(*along, slice(0, None, factor))].copy("K")
    for offset in range(1, min(factor, values.shape[axis])):
        part = values[(*along, slice(offset, None, factor))]
        total[(*along, slice(0, part.shape[axis]))] += part
    return total


def _block_sizes(size: int, factor: int, axis: int) -> np.ndarray:
    """How many voxels each block of an axis holds, shaped to divide sums by."""
    sizes = np.minimum(factor, size - np.arange(0, size, factor))
    return sizes.reshape([-1 if other == axis else 1 for other in range(3)])


def _slabs(values: np.ndarray, axis: int, factor: int) -> Iterator[np.ndarray]:
    """Pieces of whole blocks along ``axis``, whose pages a memory map need not keep."""
    plane = values.size // max(values.shape[axis], 1) * 4
    step = max(SLAB_BYTES // max(plane * factor, 1), 1) * factor
    mapping = memory_map_of(values)
    for start in range(0, values.shape[axis], step):
        place = [slice(None)] * 3
        place[axis] = slice(start, start + step)
        yield values[tuple(place)]
        release(mapping)


def memory_map_of(array: np.ndarray) -> mmap.mmap | None:
    """The mapping of a file behind an array or a view of one; None where changes live in memory alone."""
    while isinstance(array, np.ndarray):
        if getattr(array, "mode", "") == "c":
            return None
        array = array.base
    return array if isinstance(array, mmap.mmap) else None


def release(mapping: mmap.mmap | None) -> None:
    """Let the memory go that holds pages of a mapped file; they are read again when needed."""
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
