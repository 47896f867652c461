"""NRRD (``.nrrd``, ``.nhdr`` with a data file, ``.seg.nrrd``): the header is parsed by pynrrd.

``space`` says what the world's axes are: RAS, LPS or LAS. Without it the reading of ITK and 3D Slicer is
followed, which is LPS. Data files of a header lie in its folder; no other path is opened.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dense3d.datasets.volumes.binary import Binary
from dense3d.datasets.volumes.geometry import checked_affine, checked_shape, millimetres, spacing_affine
from dense3d.datasets.volumes.header import VolumeFile, VolumeHeader
from dense3d.errors import DataError
from dense3d.files import inside
from dense3d.optional import require

LONGEST_HEADER = 2**24  # bytes
TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
    "scanner-xyz": (-1, -1, 1),
    "3d-right-handed": (-1, -1, 1),
    "3d-left-handed": (-1, 1, 1),
}
WITH_TIME = {"rast": "ras", "last": "las", "lpst": "lps"}
UNPLACED = ("scanner-xyz", "3d-right-handed", "3d-left-handed", "")
COMPRESSIONS = {"raw": None, "gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2"}
TYPES = {  # teem's names
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(
        ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"
    ),
    "float": "f4",
    "double": "f8",
}


def open_nrrd(path: str) -> VolumeFile:
    """Judge an NRRD file by its header.

    Raises:
        DataError: it is damaged, truncated, of a variant that is not read, or no volume.
        MissingDependencyError: pynrrd is not installed.
    """
    fields, length = read_nrrd_header(path)
    sizes = [int(size) for size in np.atleast_1d(fields.get("sizes", []))]
    dtype = _dtype(path, fields)
    spatial, others = _axes(path, fields, sizes)
    shape = checked_shape(path, [sizes[axis] for axis in spatial])
    frames = checked_shape(
        path, [int(np.prod([sizes[axis] for axis in others], dtype=object)), 1, 1], "frames"
    )[0]
    affine, notes, placed = _geometry(path, fields, spatial)
    binary = _binary(path, fields, length, dtype, shape, frames, bool(others) and others[0] < spatial[0])
    binary.check()
    header = VolumeHeader(
        path,
        "NRRD",
        shape,
        dtype,
        affine,
        frames,
        notes=tuple(notes),
        details={"fields": fields},
        placed=placed,
    )
    return VolumeFile(header, binary.axis, binary.slabs, None if binary.compression else binary.mapped)


def read_nrrd_header(path: str) -> tuple[dict, int]:
    """The fields of a header, names of keys as in the file, and its length in bytes.

    Text is UTF-8, as 3D Slicer writes names of segments.

    Raises:
        DataError: it is no NRRD header.
    """
    nrrd = require("nrrd", f"reading {Path(path).name}")
    lines, length = [], 0
    with Path(path).open("rb") as file:
        while line := file.readline(LONGEST_HEADER):
            length += len(line)
            if not line.strip(b"\r\n"):
                break
            if length > LONGEST_HEADER or (not lines and not line.startswith(b"NRRD")):
                raise DataError(f"{path}: it does not begin with an NRRD header; copy it again or rename it")
            lines.append(line.decode("utf-8", "replace"))
    if not lines:
        raise DataError(f"{path}: the file is empty; copy it again from where it came from")
    fields = dict(nrrd.read_header(iter(lines)))
    for needed in ("type", "dimension", "sizes", "encoding"):
        if needed not in fields:
            raise DataError(f"{path}: its header has no field '{needed}'; it is damaged, so save it again")
    if int(fields["dimension"]) != len(np.atleast_1d(fields["sizes"])):
        raise DataError(f"{path}: dimension {fields['dimension']} contradicts its sizes; correct the header")
    return fields, length


def _dtype(path: str, fields: dict) -> np.dtype:
    name = str(fields["type"]).lower()
    if name not in TYPES:
        raise DataError(
            f"{path}: samples of type {name[:40]!r} are no numbers that dense3d reads; save as int16"
        )
    dtype = np.dtype(TYPES[name])
    if dtype.itemsize > 1 and fields["encoding"] not in ("ascii", "text", "txt"):
        if str(fields.get("endian", "")).lower() not in ("little", "big"):
            raise DataError(f"{path}: its header does not say 'endian: little' or 'big'; add it")
        dtype = dtype.newbyteorder("<" if fields["endian"].lower() == "little" else ">")
    return dtype


def _axes(path: str, fields: dict, sizes: list[int]) -> tuple[list[int], list[int]]:
    """Which axes are those of space, and which others there are, fastest first."""
    kinds = [str(kind).lower() for kind in fields.get("kinds", [])]
    directions = fields.get("space directions")
    if any("color" in kind or kind.startswith(("complex", "hsv", "xyz")) for kind in kinds):
        raise DataError(
            f"{path}: its voxels are colours and no single values; convert it to grey values first"
        )
    axes = range(len(sizes))
    if directions is not None and len(directions) == len(sizes):
        spatial = [axis for axis in axes if _vector(directions[axis]) is not None]
    elif len(kinds) == len(sizes) and any(kind in ("domain", "space") for kind in kinds):
        spatial = [axis for axis in axes if kinds[axis] in ("domain", "space")]
    else:
        spatial = list(axes)[:3]
    others = [axis for axis in axes if axis not in spatial]
    if len(spatial) > 3:
        spatial, others = spatial[:3], [*others, *spatial[3:]]
    if len(spatial) == 3 and any(spatial[0] < axis < spatial[2] for axis in others):
        raise DataError(
            f"{path}: an axis of frames lies between those of space; save frames as first or last axis"
        )
    if len(spatial) == 3 and others and min(others) < spatial[0] and max(others) > spatial[2]:
        raise DataError(
            f"{path}: it has axes before and after those of space; save each frame as its own file"
        )
    return spatial, others


def _geometry(path: str, fields: dict, spatial: list[int]) -> tuple[np.ndarray, list[str], bool]:
    """The affine in millimetres, what a person should know, and whether the file states a place."""
    space, notes = str(fields.get("space", "")).lower().removesuffix("-time"), []
    space = WITH_TIME.get(space, space)
    signs = np.array(TO_RAS.get(space, (-1, -1, 1)), float)
    scale = np.array([millimetres(unit) or 1.0 for unit in (fields.get("space units") or ["mm"] * 3)[:3]])
    directions = fields.get("space directions")
    vectors = [] if directions is None else [_vector(directions[axis]) for axis in spatial]
    if len(vectors) == 3 and all(vector is not None for vector in vectors):
        affine = np.eye(4)
        affine[:3, :3] = np.stack([vector[:3] for vector in vectors], 1)
        affine[:3, 3] = _origin(fields)
        affine[:3] *= (signs * scale)[:, None]
        if space in UNPLACED or space not in TO_RAS:
            side = "anterior" if signs[1] > 0 else "posterior"
            notes.append(
                f"its space is {space or 'not stated'}: axes are taken as left, {side}, superior, so "
                f"check left "
                "and right"
            )
        return checked_affine(path, affine), notes, True
    spacings = fields.get("spacings")
    steps = [1.0] * 3 if spacings is None else [float(spacings[axis]) for axis in spatial]
    steps = [step if np.isfinite(step) else 1.0 for step in steps]
    notes.append(
        "the file states no directions: axes are taken as left, posterior, superior, as 3D Slicer does"
        + ("" if spacings is not None else ", and voxels as cubes of 1 mm")
    )
    return checked_affine(path, np.diag([*signs, 1.0]) @ spacing_affine(steps)), notes, False


def _vector(direction: object) -> np.ndarray | None:
    """(3,) or longer; None where an axis has no direction."""
    if direction is None:
        return None
    vector = np.asarray(direction, float).ravel()
    return vector if vector.size >= 3 and np.isfinite(vector).all() else None


def _origin(fields: dict) -> np.ndarray:
    origin = _vector(fields.get("space origin"))
    return np.zeros(3) if origin is None else origin[:3]


def _binary(
    path: str, fields: dict, length: int, dtype: np.dtype, shape: tuple, frames: int, first: bool
) -> Binary:
    """Where the samples lie."""
    encoding = str(fields["encoding"]).lower()
    if encoding not in COMPRESSIONS:
        raise DataError(f"{path}: its encoding is {encoding[:40]!r}; save it as raw or gzip")
    data = fields.get("data file", fields.get("datafile"))
    where, start = path, length
    if data is not None:
        if (
            data.upper().startswith("LIST")
            or "%" in data
            or (len(data.split()) > 1 and not _beside(path, data).is_file())
        ):
            raise DataError(f"{path}: its samples lie in several files; save it with one data file")
        where, start = str(_beside(path, data)), 0
        if not Path(where).is_file():
            raise DataError(f"{path}: its data file {data} is not beside it; copy it there")
    skip = int(fields.get("byte skip", fields.get("byteskip", 0)))
    lines = int(fields.get("line skip", fields.get("lineskip", 0)))
    compression = COMPRESSIONS[encoding]
    if lines < 0 or lines > 10000 or skip < -1 or (compression and skip < 0):
        raise DataError(
            f"{path}: it skips {lines} lines and {skip} bytes, which cannot be; correct the header"
        )
    if lines:
        start = _after_lines(where, start, lines)
    if compression:
        return Binary(where, skip, dtype, shape, frames, "F", first, compression, start)
    total = Binary(where, 0, dtype, shape, frames).total
    offset = max(Path(where).stat().st_size - total, 0) if skip == -1 else start + skip
    return Binary(where, offset, dtype, shape, frames, "F", first)


def _beside(path: str, data: str) -> Path:
    return inside(Path(path).parent, data, path, "put the data file beside its header")


def _after_lines(path: str, start: int, lines: int) -> int:
    with Path(path).open("rb") as file:
        file.seek(start)
        for _ in range(lines):
            file.readline(LONGEST_HEADER)
        return file.tell()
