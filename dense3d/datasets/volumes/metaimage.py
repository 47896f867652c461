"""MetaImage (``.mhd`` with a raw file, ``.mha``), ITK's format: world axes are left, posterior, superior.

The header is a few lines of text; it is read here, so that samples can be mapped and streamed, and checked
against SimpleITK in the tests. Data files lie in the folder of their header; no other path is opened.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dense3d.datasets.volumes.binary import Binary
from dense3d.datasets.volumes.geometry import checked_affine, checked_shape
from dense3d.datasets.volumes.header import VolumeFile, VolumeHeader
from dense3d.errors import DataError
from dense3d.files import inside

LONGEST_HEADER = 2**16  # bytes
TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def open_metaimage(path: str) -> VolumeFile:
    """Judge a MetaImage file by its header.

    Raises:
        DataError: it is damaged, truncated, of a variant that is not read, or no volume.
    """
    fields, length = _read_header(path)
    sizes = _integers(path, fields, "DimSize")
    dimensions = len(sizes)
    shape = checked_shape(path, sizes[:3])
    frames = checked_shape(path, [int(np.prod(sizes[3:], dtype=object)), 1, 1], "frames")[0]
    if _integers(path, fields, "ElementNumberOfChannels", "1") != [1]:
        raise DataError(f"{path}: its voxels are vectors or colours and no single values; save one channel")
    kind = fields.get("ElementType", "")
    if kind not in TYPES:
        raise DataError(
            f"{path}: samples of type {kind[:40]!r} are not read; save it as MET_SHORT or MET_FLOAT"
        )
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")).lower() == "true"
    dtype = np.dtype(TYPES[kind]).newbyteorder(">" if big else "<")
    affine, notes, placed = _geometry(path, fields, dimensions)
    binary = _binary(path, fields, length, dtype, shape, frames)
    binary.check()
    header = VolumeHeader(path, "MetaImage", shape, dtype, affine, frames, notes=tuple(notes), placed=placed)
    return VolumeFile(header, binary.axis, binary.slabs, None if binary.compression else binary.mapped)


def _read_header(path: str) -> tuple[dict[str, str], int]:
    """Fields up to the one that says where the samples are, and the bytes until there."""
    fields: dict[str, str] = {}
    with Path(path).open("rb") as file:
        while line := file.readline(LONGEST_HEADER):
            key, equals, value = line.decode("utf-8", "replace").partition("=")
            if (not equals and line.strip()) or file.tell() > LONGEST_HEADER:
                raise DataError(
                    f"{path}: line {len(fields) + 1} of its header is no 'key = value'; it is damaged"
                )
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                break
        length = file.tell()
    for needed in ("DimSize", "ElementType", "ElementDataFile"):
        if needed not in fields:
            raise DataError(f"{path}: its header has no field {needed}; it is damaged, so save it again")
    if fields.get("BinaryData", "True").lower() == "false":
        raise DataError(f"{path}: its samples are text; save it with BinaryData = True")
    return fields, length


def _integers(path: str, fields: dict[str, str], key: str, default: str = "") -> list[int]:
    try:
        return [int(part) for part in fields.get(key, default).split()]
    except ValueError as error:
        raise DataError(
            f"{path}: {key} = {fields[key][:60]} should be integers; correct the header"
        ) from error


def _numbers(path: str, fields: dict[str, str], keys: tuple[str, ...], count: int) -> np.ndarray | None:
    """The first of several spellings of a field; None without it."""
    for key in keys:
        if key in fields:
            try:
                numbers = np.array([float(part) for part in fields[key].split()])
            except ValueError:
                numbers = np.zeros(0)
            if len(numbers) != count:
                raise DataError(
                    f"{path}: {key} = {fields[key][:60]} should be {count} numbers; correct the header"
                )
            return numbers
    return None


def _geometry(path: str, fields: dict[str, str], dimensions: int) -> tuple[np.ndarray, list[str], bool]:
    matrix = _numbers(path, fields, ("TransformMatrix", "Rotation", "Orientation"), dimensions**2)
    spacing = _numbers(path, fields, ("ElementSpacing", "ElementSize"), dimensions)
    origin = _numbers(path, fields, ("Offset", "Position", "Origin"), dimensions)
    affine = np.eye(4)
    if matrix is not None:  # its rows are the directions of the axes
        affine[:3, :3] = matrix.reshape(dimensions, dimensions)[:3, :3].T
    if spacing is not None:
        affine[:3, :3] *= spacing[:3]
    if origin is not None:
        affine[:3, 3] = origin[:3]
    notes = []
    if spacing is None:
        notes.append("the file states no spacing: voxels are taken as cubes of 1 mm")
    placed = matrix is not None or origin is not None
    if matrix is None:
        notes.append(
            "the file states no directions: axes are taken as left, posterior, superior, as ITK does"
        )
    return checked_affine(path, LPS_TO_RAS @ affine), notes, placed


def _binary(
    path: str, fields: dict[str, str], length: int, dtype: np.dtype, shape: tuple, frames: int
) -> Binary:
    data = fields["ElementDataFile"]
    compressed = fields.get("CompressedData", "False").lower() == "true"
    if data.upper().startswith("LIST") or "%" in data:
        raise DataError(f"{path}: its samples lie in several files; save it with one data file")
    where, start = path, length
    if data.upper() not in ("LOCAL", "LOCAL_FILE"):
        where, start = str(inside(Path(path).parent, data, path, "put the data file beside its header")), 0
        if not Path(where).is_file():
            raise DataError(f"{path}: its data file {data} is not beside it; copy it there")
    skip = (_integers(path, fields, "HeaderSize", "0") or [0])[0]
    if skip < -1 or (compressed and skip):
        raise DataError(f"{path}: HeaderSize = {skip} cannot be; correct the header")
    if compressed:
        return Binary(where, 0, dtype, shape, frames, compression="zlib", start=start)
    total = Binary(where, 0, dtype, shape, frames).total
    offset = max(Path(where).stat().st_size - total, 0) if skip == -1 else start + skip
    return Binary(where, offset, dtype, shape, frames)
