"""PCD files: text and plain binary are read here, part by part, compressed ones by Open3D.

Open3D ends the process for some files that are damaged, and pads with zeros what is cut off.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.structures.cloud_files.columns import GROUPS, column_name
from dense3d.structures.cloud_files.rows import parts_of, sample_rows

LONGEST = 1 << 16  # bytes of a header
LINES = 200_000
SIZES = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}
PACKED = ("rgb", "rgba")  # colours in the bytes of one number


@dataclass(frozen=True)
class PcdHeader:
    """What the header of a PCD file says.

    Attributes:
        size: bytes of the header.
        kind: ``"ascii"``, ``"binary"`` or ``"binary_compressed"``.
        points: how many there are.
        row: type of a point, one field each.
    """

    size: int
    kind: str
    points: int
    row: np.dtype


def read_pcd(path: Path, most: int | None, seed: int) -> tuple[dict[str, np.ndarray], int]:
    """Attributes of the points of a PCD file, and how many points it has.

    Raises:
        DataError: the file is damaged or cut off, or has no coordinates.
    """
    header = read_header(path)
    if header.kind == "binary_compressed":
        from dense3d.structures.cloud_files.open3d_files import read_with_open3d

        return read_with_open3d(path, most, seed)
    if header.kind == "binary":
        rows = np.memmap(path, header.row, "r", offset=header.size, shape=(header.points,))
        parts: Iterator[np.ndarray] = parts_of(rows)
    else:
        parts = _text_parts(path, header)
    return sample_rows((_attributes(part) for part in parts), most, seed)


def read_header(path: Path) -> PcdHeader:
    """The header of a PCD file, which must go with the size of the file.

    Raises:
        DataError: it is damaged, or the file was cut off.
    """
    said, size = _lines(path)
    try:
        points, width, height = (int(said[name][0]) for name in ("POINTS", "WIDTH", "HEIGHT"))
        kind, fields, types = said["DATA"][0], said["FIELDS"], said["TYPE"]
        sizes = [int(word) for word in said["SIZE"]]
        counts = [int(word) for word in said.get("COUNT", ["1"] * len(fields))]
    except (KeyError, IndexError, ValueError):
        what = "is empty" if not size else "has no complete PCD header"
        raise DataError(f"{path} {what}; make or copy it again") from None
    sound = (
        points == width * height
        and len(fields) == len(sizes) == len(types) == len(counts)
        and len({name for name in fields if name != "_"}) == sum(name != "_" for name in fields)
        and all(name.isascii() and name.isprintable() for name in fields)
        and all(each in SIZES.get(one, ()) for one, each in zip(types, sizes))
        and all(0 < count < LONGEST for count in counts)
        and kind in ("ascii", "binary", "binary_compressed")
    )
    if not sound:
        raise DataError(f"{path}: its PCD header contradicts itself; make or copy it again")
    if not {"x", "y", "z"} <= set(fields):
        raise DataError(f"{path}: its points have {' '.join(fields)}, and not x, y and z")
    if points < 1:
        raise DataError(f"{path} holds no point; make or copy it again")
    names = [f"_{i}" if name == "_" else name for i, name in enumerate(fields)]
    letters = {"F": "f", "I": "i", "U": "u"}
    row = np.dtype([(n, f"<{letters[t]}{s}", (c,)) for n, t, s, c in zip(names, types, sizes, counts)])
    header = PcdHeader(size, kind, points, row)
    _check_size(path, header)
    return header


def _lines(path: Path) -> tuple[dict[str, list[str]], int]:
    """The header's lines by their first word, and its length in bytes."""
    said: dict[str, list[str]] = {}
    size = 0
    with path.open("rb") as file:
        for raw in file:
            size += len(raw)
            words = raw.decode("latin1").split()
            if words and not words[0].startswith("#"):
                said[words[0].upper()] = words[1:]
            if "DATA" in said or size > LONGEST:
                break
    return said, size


def _check_size(path: Path, header: PcdHeader) -> None:
    there, wanted = path.stat().st_size - header.size, header.points * header.row.itemsize
    cut_off = False
    if header.kind == "binary":
        cut_off = there < wanted
    elif header.kind == "binary_compressed":
        with path.open("rb") as file:
            file.seek(header.size)
            sizes = np.frombuffer(file.read(8), dtype="<u4").astype(np.int64)
        cut_off = len(sizes) < 2 or sizes[0] > there - 8 or sizes[1] != wanted
    if cut_off:
        raise DataError(f"{path} lacks bytes of its {header.points} points: it was cut off; copy it again")


def _text_parts(path: Path, header: PcdHeader) -> Iterator[np.ndarray]:
    width = sum(header.row[name].shape[0] for name in header.row.names)
    left = header.points
    with path.open("rb") as file:
        file.seek(header.size)
        while left > 0:
            lines = [line.decode("latin1") for line in itertools.islice(file, min(LINES, left))]
            if not lines:
                raise DataError(f"{path} lacks {left} of its {header.points} points: it was cut off")
            try:
                table = np.loadtxt(lines, ndmin=2, comments=None)
            except ValueError as error:
                raise DataError(f"{path}: its points cannot be read ({str(error).splitlines()[0]})") from None
            if not table.size:
                continue
            if table.shape[1] != width:
                raise DataError(f"{path} has points of {table.shape[1]} numbers, its header of {width}")
            left -= len(table)
            yield _typed(table, header.row)


def _typed(table: np.ndarray, row: np.dtype) -> np.ndarray:
    """Rows of numbers as rows of fields."""
    rows, start = np.zeros(len(table), row), 0
    with np.errstate(invalid="ignore", over="ignore"):
        for name in row.names:
            count = row[name].shape[0]
            rows[name] = table[:, start : start + count]
            start += count
    return rows


def _attributes(part: np.ndarray) -> dict[str, np.ndarray]:
    """What a part of the file knows of its points."""
    names = {column_name(name): name for name in reversed(part.dtype.names)}
    found = {
        attribute: np.concatenate([part[names[column]][:, :1] for column in group], axis=1)
        for attribute, group in GROUPS.items()
        if all(column in names for column in group)
    }
    packed = next((name for name in PACKED if name in part.dtype.names), None)
    if packed and part.dtype[packed].base.itemsize == 4:
        number = np.ascontiguousarray(part[packed][:, 0]).view("<u4")
        found["colors"] = np.stack([number >> 16 & 255, number >> 8 & 255, number & 255], axis=1).astype(
            np.uint8
        )
    for name in ("labels", "intensity"):
        if name in found:
            found[name] = found[name][:, 0]
    return found
