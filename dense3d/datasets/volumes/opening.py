"""Any volume file -> :class:`~dense3d.structures.Volume`, judged by its header before memory is taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dense3d.datasets.volumes.failures import told_of
from dense3d.datasets.volumes.formats import format_of
from dense3d.datasets.volumes.header import Bounds, VolumeFile, VolumeHeader
from dense3d.datasets.volumes.loading import fitting_limit, load_whole, reduce_streamed
from dense3d.datasets.volumes.numpy_files import volume_shape
from dense3d.datasets.volumes.raw import RawLayout
from dense3d.datasets.volumes.values import value_dtype
from dense3d.errors import ConfigError, DataError
from dense3d.structures.volume import Volume, VolumeSource, working_note
from dense3d.structures.volume_axes import to_ras
from dense3d.structures.volume_blocks import memory_map_of, reduction_affine, reduction_factors, release


def open_volume(
    path: str | os.PathLike,
    *,
    frame: int | None = None,
    raw: RawLayout | None = None,
    limit: int | None = None,
) -> Volume:
    """Open a volume of any format that dense3d reads.

    Nothing is allocated before the header's size is judged by that of the file and by the free memory.
    Large uncompressed files are memory-mapped; their values may then have another byte order than the
    machine's. What is compressed and does not fit is opened at a lower resolution, which a note says.

    Args:
        path: a file, or a folder of DICOM or TIFF slices.
        frame: which volume of a series, from 0; the first unless given.
        raw: layout of a file without a header.
        limit: the most voxels an axis may have; the result is then canonical, and streamed slab by slab where
            it is reduced.

    Returns:
        The volume on the grid of the file, or on its working grid where it was reduced. Values that are not
        finite are replaced by the smallest finite one, and counted in a note.

    Raises:
        DataError: the file is missing, damaged, of no known format, no volume, or too large.
        ConfigError: an option does not fit the file.
        MissingDependencyError: the package that reads the format is not installed.
    """
    path = os.fspath(path)
    if limit is not None and limit < 2:
        raise ConfigError(f"limit={limit}: an axis keeps at least 2 voxels; 256 is usual")
    with told_of(path, "volume"):
        file = open_file(path, raw, limit)
        return _read(file, _checked_frame(file.header, frame), limit, frame is None)


def volume_of(values: np.ndarray, *, frame: int | None = None) -> Volume:
    """A volume of an array, checked as a file would be.

    Args:
        values: (X, Y, Z), or (X, Y, Z, T) of T frames; voxels are cubes of 1 mm. A large one is not copied.
        frame: which volume of a series, from 0; the first unless given.

    Raises:
        DataError: it is no volume, holds no numbers, or the same one everywhere.
        ConfigError: there is no such frame.

    Example:
        >>> volume_of(np.array([[[0, 1], [2, np.nan]], [[4, 5], [6, 7]]])).notes
        ('1 voxels are NaN or infinite: they were given the smallest value, 0',)
    """
    values = np.asarray(values)
    shape, frames = volume_shape("volume", values.shape)
    series = values.reshape(*shape, frames)
    axis = int(np.argmax(np.abs(series.strides[:3])))

    def slabs(number: int, bounds: Bounds) -> Iterator[np.ndarray]:
        for start, stop in bounds:
            yield series[(*(slice(None),) * axis, slice(start, stop))][..., number]

    header = VolumeHeader("volume", "array", shape, values.dtype, np.eye(4), frames, placed=False)
    file = VolumeFile(header, axis, slabs, lambda number: series[..., number])
    value_dtype(header)
    return _read(file, _checked_frame(header, frame), None, frame is None)


def volume_header(path: str | os.PathLike, *, raw: RawLayout | None = None) -> VolumeHeader:
    """What a file says of its volume, without reading samples: shape, type, spacing, frames, bytes.

    Args:
        path: as for :func:`open_volume`.
        raw: layout of a file without a header.

    Raises:
        DataError, ConfigError, MissingDependencyError: as :func:`open_volume`.
    """
    path = os.fspath(path)
    with told_of(path, "volume"):
        return open_file(path, raw).header


def open_file(path: str, raw: RawLayout | None, limit: int | None = None) -> VolumeFile:
    """Judge a file or folder by its header; errors may be of any type, see `told_of`."""
    if not Path(path).exists():
        raise DataError(f"{path}: there is no such file or folder; check the path")
    if not Path(path).is_file() and not Path(path).is_dir():
        raise DataError(f"{path}: it is a device or a pipe and no file; copy its content to a file")
    kind = format_of(path, raw)
    with told_of(path, kind.name):
        file = kind.open(path, raw, limit)
    value_dtype(file.header)
    return file


def _checked_frame(header: VolumeHeader, frame: int | None) -> int:
    if frame is None:
        return 0
    if not isinstance(frame, (int, np.integer)) or not 0 <= frame < header.frames:
        raise ConfigError(
            f"{header.path}: it has no frame {frame}, only {header.frames} of them, counted from 0; choose "
            f"one of 0 to {header.frames - 1}"
        )
    return frame


def _read(file: VolumeFile, frame: int, limit: int | None, is_default: bool) -> Volume:
    header = file.header
    notes = list(header.notes)
    if header.dtype.names:
        notes.append("its voxels are colours: their luminance is shown")
    if header.frames > 1:
        default = " (the default; frame= or --frame chooses another)" if is_default else ""
        notes.append(f"the file holds {header.frames} frames: frame {frame} is open{default}")
    if limit is None:
        limit = fitting_limit(file)
        if limit is not None:
            notes.append(
                f"the whole volume does not fit into memory: at most {limit} voxels an axis are read"
            )
    order = to_ras(header.affine)
    canonical_shape = tuple(header.shape[axis] for axis in order.axes)
    factors = (1, 1, 1) if limit is None else reduction_factors(canonical_shape, limit)
    source = VolumeSource(
        header.shape,
        header.affine,
        header.path,
        {"format": header.format, "frames": header.frames, "frame": frame, **header.details},
    )
    name = Path(header.path).name or Path(header.path).resolve().name
    common = dict(name=name, modality=header.modality, source=source)
    if factors == (1, 1, 1):
        values = load_whole(file, frame, notes)
        _require_contrast(header, values)
        volume = Volume(values, header.affine, notes=tuple(notes + _anisotropy(header)), **common)
        return volume if limit is None else volume.canonical()
    values = reduce_streamed(file, frame, order, factors, notes)
    _require_contrast(header, values)
    affine = header.affine @ order.index_affine(header.shape) @ reduction_affine(factors)
    notes += [*_anisotropy(header), working_note(canonical_shape, values.shape, factors)]
    return Volume(values, affine, notes=tuple(notes), order=order, factors=factors, **common)


def _require_contrast(header: VolumeHeader, values: np.ndarray) -> None:
    """Refuse a volume in which there is nothing to see; stops at the first voxel that differs."""
    axis = int(np.argmax(np.abs(values.strides)))
    first, mapping = values[0, 0, 0], memory_map_of(values)
    for index in range(values.shape[axis]):
        differs = bool((values[(slice(None),) * axis + (index,)] != first).any())
        release(mapping)
        if differs:
            return
    raise DataError(
        f"{header.path}: every voxel has the value {first:g}: there is nothing to see; choose another frame "
        "or file"
    )


def _anisotropy(header: VolumeHeader) -> list[str]:
    spacing = header.spacing
    if max(spacing) < 4 * min(spacing):
        return []
    text = " x ".join(f"{length:.3g}" for length in spacing)
    return [f"voxels of {text} mm are far from cubes: structures are coarse along the longest side"]
