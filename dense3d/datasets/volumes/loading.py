"""Samples of a judged file -> values: whole, or reduced while they stream by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dense3d.datasets.volumes.header import VolumeFile
from dense3d.datasets.volumes.memory import budget_bytes, require_memory
from dense3d.datasets.volumes.values import narrowed, scaled, value_dtype
from dense3d.errors import DataError
from dense3d.structures.volume_axes import AxisOrder
from dense3d.structures.volume_blocks import SLAB_BYTES, reduce_slabs

MAP_FROM = 2**28  # bytes; smaller files are read, so that nothing depends on them later
LIMITS = (1024, 768, 512, 384, 256, 128)  # voxels an axis of what does not fit into memory


def fitting_limit(file: VolumeFile) -> int | None:
    """None where the whole volume can be opened, else how many voxels an axis may keep.

    Raises:
        DataError: not even a small one fits.
    """
    header, item = file.header, value_dtype(file.header).itemsize
    count = int(np.prod(header.shape, dtype=object))
    budget = budget_bytes()
    if _is_mapped(file) or count * item <= budget:
        return None
    for limit in LIMITS:
        kept = int(np.prod([-(-size // -(-size // limit)) for size in header.shape], dtype=object))
        if kept * item + _slab_bytes(file) <= budget:
            return limit
    require_memory(header.path, count * item)
    return None


def load_whole(file: VolumeFile, frame: int, notes: list[str]) -> np.ndarray:
    """(X, Y, Z) values in the file's axis order, finite; a memory map of a large file where that is possible.

    Args:
        file: the judged file.
        frame: which volume.
        notes: what a person should know is added.
    """
    header, dtype = file.header, value_dtype(file.header)
    if _is_mapped(file) and (header.dtype.isnative or header.bytes > budget_bytes()):
        mapped = file.mapped(frame)
        if dtype.kind != "f" or _count_odd(file, frame)[0] == 0:
            return mapped
    require_memory(header.path, header.bytes // header.dtype.itemsize * dtype.itemsize)
    values = np.empty(header.shape, dtype, order="F" if file.axis == 2 else "C")
    start = 0
    for slab in _slabs(file, frame, 1):
        stop = start + slab.shape[file.axis]
        values[_place(file.axis, start, stop)] = slab
        start = stop
    if dtype.kind == "f":
        odd = ~np.isfinite(values)
        count = int(np.count_nonzero(odd))
        if count:
            fill = _fill_value(header.path, values[~odd].min() if count < values.size else None)
            values[odd] = fill
            notes.append(_odd_note(count, fill))
    return narrowed(values)


def load_labels(file: VolumeFile, frame: int) -> np.ndarray:
    """(X, Y, Z) integers in the file's axis order.

    Raises:
        DataError: values are no whole numbers, or do not fit into memory.
    """
    header, dtype = file.header, value_dtype(file.header)
    require_memory(header.path, header.bytes // header.dtype.itemsize * dtype.itemsize)
    labels = None
    start = 0
    for slab in _slabs(file, frame, 1):
        if (
            dtype.kind == "f"
            and not (np.isfinite(slab) & (np.rint(slab) == slab) & (abs(slab) < 2**31)).all()
        ):
            raise DataError(
                f"{header.path}: its values are no whole numbers, so it is no segmentation; choose one"
            )
        if labels is None:
            labels = np.empty(
                header.shape, np.int32 if dtype.kind == "f" else dtype, "F" if file.axis == 2 else "C"
            )
        stop = start + slab.shape[file.axis]
        labels[_place(file.axis, start, stop)] = slab
        start = stop
    return labels


def reduce_streamed(
    file: VolumeFile, frame: int, order: AxisOrder, factors: tuple[int, int, int], notes: list[str]
) -> np.ndarray:
    """Block means on the canonical grid, without ever holding the whole volume.

    Args:
        file: the judged file.
        frame: which volume.
        order: from the file's axes to the canonical ones.
        factors: of the blocks along the canonical axes.
        notes: what a person should know is added.
    """
    header, dtype = file.header, value_dtype(file.header)
    fill = None
    if dtype.kind == "f":
        count, smallest = _count_odd(file, frame)
        if count:
            fill = _fill_value(header.path, smallest)
            notes.append(_odd_note(count, fill))
    to_file = order.inverse()
    file_factors = tuple(factors[axis] for axis in to_file.axes)
    flips = tuple(to_file.flips)
    rest = header.shape[file.axis] % file_factors[file.axis] if flips[file.axis] else 0
    # Blocks count from the low end of the canonical axes, so on a flipped one the file begins with the rest.
    mirror = tuple(
        slice(None, None, -1) if flip and axis != file.axis else slice(None)
        for axis, flip in enumerate(flips)
    )

    def pieces() -> Iterator[np.ndarray]:
        for slab in _slabs(file, frame, file_factors[file.axis], rest):
            if fill is not None:  # the slab may be a read-only map of the file
                slab = np.where(np.isfinite(slab), slab, dtype.type(fill))
            yield slab[mirror]

    small = reduce_slabs(pieces(), header.shape, dtype, file_factors, file.axis)
    return narrowed(np.ascontiguousarray(order.apply(small[mirror])))


def _is_mapped(file: VolumeFile) -> bool:
    header = file.header
    plain = (header.slope, header.intercept) == (1, 0) and header.dtype.kind in "iuf"
    same = plain and value_dtype(header) == header.dtype.newbyteorder("=")
    return file.mapped is not None and same and header.bytes >= MAP_FROM


def _slabs(file: VolumeFile, frame: int, factor: int, rest: int = 0) -> Iterator[np.ndarray]:
    """Values in pieces of whole blocks along the file's slow axis; a first piece of ``rest`` planes."""
    dtype, size = value_dtype(file.header), file.header.shape[file.axis]
    step = max(SLAB_BYTES // max(_plane_bytes(file) * factor, 1), 1) * factor
    starts = [*([0] if rest else []), *range(rest, size, step)]
    bounds = list(zip(starts, [*starts[1:], size]))
    for slab in file.slabs(frame, bounds):
        yield scaled(slab, file.header, dtype)


def _plane_bytes(file: VolumeFile) -> int:
    return file.header.bytes // file.header.shape[file.axis]


def _slab_bytes(file: VolumeFile) -> int:
    """Memory that streaming takes at a time: a slab as stored, as values and as sums."""
    return 6 * max(SLAB_BYTES, 8 * _plane_bytes(file))


def _count_odd(file: VolumeFile, frame: int) -> tuple[int, float | None]:
    """How many values are not finite, and the smallest of the others."""
    count, smallest = 0, None
    for slab in _slabs(file, frame, 1):
        finite = np.isfinite(slab)
        odd = slab.size - int(np.count_nonzero(finite))
        count += odd
        if odd < slab.size:
            low = slab[finite].min() if odd else slab.min()
            smallest = low if smallest is None else min(smallest, low)
    return count, smallest


def _fill_value(path: str, smallest: float | None) -> float:
    if smallest is None:
        raise DataError(f"{path}: none of its voxels is a finite number; choose another frame or file")
    return smallest


def _odd_note(count: int, fill: float) -> str:
    return f"{count} voxels are NaN or infinite: they were given the smallest value, {fill:g}"


def _place(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(start, stop))
