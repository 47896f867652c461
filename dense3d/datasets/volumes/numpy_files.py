"""NumPy's ``.npy`` (memory-mapped) and ``.npz``: array axes are x, y, z; pickled objects are never loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from dense3d.datasets.volumes.binary import Binary
from dense3d.datasets.volumes.geometry import checked_affine, checked_shape, spacing_affine
from dense3d.datasets.volumes.header import VolumeFile, VolumeHeader
from dense3d.datasets.volumes.zipped import ZippedBinary
from dense3d.errors import DataError

NAMES = ("volume", "image", "data", "values", "arr_0")  # of the array in an .npz, the likeliest first
SMALL = 2**16  # bytes of an affine or a spacing


def open_npy(path: str) -> VolumeFile:
    """Judge an ``.npy`` file by its header.

    Raises:
        DataError: it is damaged or no volume.
    """
    with Path(path).open("rb") as file:
        sizes, fortran, dtype = _array_header(path, file)
        offset = file.tell()
    shape, frames = volume_shape(path, sizes)
    binary = Binary(path, offset, dtype, shape, frames, "F" if fortran else "C", frames_fastest=not fortran)
    binary.check()
    header = VolumeHeader(
        path, "NumPy", shape, dtype, np.eye(4), frames, notes=(_SPACING_NOTE,), placed=False
    )
    return VolumeFile(header, binary.axis, binary.slabs, binary.mapped)


def open_npz(path: str) -> VolumeFile:
    """Judge an ``.npz`` file, which may hold ``affine`` (4, 4) or ``spacing`` (3,) beside its volume.

    Raises:
        DataError: it is damaged, holds several arrays and none of a usual name, or no volume.
    """
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        arrays = [name for name in names if name not in ("affine", "spacing")]
        chosen = next((name for name in NAMES if name in arrays), arrays[0] if len(arrays) == 1 else None)
        if chosen is None:
            listed = ", ".join(arrays[:8]) or "none"
            raise DataError(f"{path}: which array is the volume? It holds {listed}; name it 'volume'")
        member = archive.getinfo(f"{chosen}.npy")
        with archive.open(member) as file:
            sizes, fortran, dtype = _array_header(path, file)
            offset = file.tell()
        affine, notes = _stated_affine(path, archive, names)
    shape, frames = volume_shape(path, sizes)
    binary = ZippedBinary(
        path,
        offset,
        dtype,
        shape,
        frames,
        "F" if fortran else "C",
        not fortran,
        "zip",
        member=f"{chosen}.npy",
    )
    binary.check()
    header = VolumeHeader(path, "NumPy", shape, dtype, affine, frames, notes=tuple(notes), placed=not notes)
    return VolumeFile(header, binary.axis, binary.slabs)


_SPACING_NOTE = "an .npy file states no spacing or orientation: 1 mm and axes x, y, z are assumed"


def _array_header(path: str, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and type; the file is then at its first sample."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        sizes, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        sizes, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise DataError(
            f"{path}: version {version[0]}.{version[1]} of the .npy format is unknown; save it again"
        )
    if dtype.hasobject:
        raise DataError(
            f"{path}: it holds Python objects, which could run code; save a plain array of numbers"
        )
    return sizes, fortran, dtype


def volume_shape(path: str, sizes: tuple[int, ...]) -> tuple[tuple[int, int, int], int]:
    """(X, Y, Z) and the number of frames, which are the fourth axis."""
    sizes = tuple(int(size) for size in sizes)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    if len(sizes) > 4:
        text = " x ".join(map(str, sizes))
        raise DataError(f"{path}: an array of {text} has too many axes; save x, y, z and at most frames")
    return checked_shape(path, sizes[:3]), int(np.prod(sizes[3:], dtype=object))


def _stated_affine(path: str, archive: zipfile.ZipFile, names: list[str]) -> tuple[np.ndarray, list[str]]:
    for name, shape in (("affine", (4, 4)), ("spacing", (3,))):
        if name not in names or archive.getinfo(f"{name}.npy").file_size > SMALL:
            continue
        with archive.open(f"{name}.npy") as file:
            stated = np.lib.format.read_array(file, allow_pickle=False)
        if stated.shape != shape or stated.dtype.kind not in "iuf":
            raise DataError(f"{path}: its {name} has shape {stated.shape} and not {shape}; correct it")
        return checked_affine(path, stated if name == "affine" else spacing_affine(stated)), []
    return np.eye(4), [
        _SPACING_NOTE.replace(".npy", ".npz").replace("an .npz file states", "the file states")
    ]
