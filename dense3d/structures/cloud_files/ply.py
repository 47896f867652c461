"""PLY files: their header is read here, and so are points of fixed size, part by part.

Open3D fills what a file that was cut off lacks with zeros, without an error, and reads everything at once;
files with points of varying size are left to it.
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

TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
HEADER_LINES = 1000
LINES = 200_000


@dataclass(frozen=True)
class PlyHeader:
    """What the header of a PLY file says.

    Attributes:
        order: ``"<"``, ``">"``, or ``""`` for text.
        size: bytes of the header.
        elements: name -> number of them, in the order of the file.
        properties: (name, NumPy type) of a vertex; None where one is a list.
    """

    order: str
    size: int
    elements: dict[str, int]
    properties: tuple[tuple[str, str], ...] | None

    @property
    def vertices(self) -> int:
        """How many points there are."""
        return self.elements.get("vertex", 0)

    @property
    def is_plain(self) -> bool:
        """Whether the points come first and have a fixed size."""
        return bool(self.properties) and next(iter(self.elements), "") == "vertex"


def read_header(path: Path) -> PlyHeader:
    """The header of a PLY file.

    Raises:
        DataError: it is none, or damaged.
    """
    order, elements, properties, element, size = None, {}, [], "", 0
    with path.open("rb") as file:
        for number, raw in enumerate(itertools.islice(file, HEADER_LINES)):
            size += len(raw)
            words = raw.decode("latin1").split()
            if (number == 0) != (words == ["ply"]):
                break
            if words[:1] == ["end_header"]:
                if order is None or not elements:
                    break
                plain = all(kind is not None for _, kind in properties)
                return PlyHeader(order, size, elements, tuple(properties) if plain else None)
            if words[:1] == ["format"]:
                order = ORDERS.get(words[1] if len(words) > 1 else "")
            elif words[:1] == ["element"] and len(words) == 3 and words[2].isdigit():
                element = words[1]
                elements[element] = int(words[2])
            elif words[:1] == ["property"] and element == "vertex":
                kind = TYPES.get(words[1]) if words[1] != "list" else None
                if kind is None and words[1] != "list":
                    raise DataError(f"{path}: the property type {words[1]!r} is none of PLY's")
                properties.append((words[-1], kind))
    what = "is empty" if not size else "has no complete PLY header"
    raise DataError(f"{path} {what}; make or copy it again")


def read_ply(path: Path, most: int | None, seed: int) -> tuple[dict[str, np.ndarray], int]:
    """Attributes of the vertices of a PLY file, faces left out, and how many vertices it has.

    Raises:
        DataError: the file is damaged or cut off, or has no coordinates.
    """
    header = read_header(path)
    if not header.vertices:
        raise DataError(f"{path} holds no point; make or copy it again")
    if not header.is_plain:
        from dense3d.structures.cloud_files.open3d_files import read_with_open3d

        return read_with_open3d(path, most, seed)
    chosen = _attributes(header, path)
    parts = _text_parts(path, header) if not header.order else _binary_parts(path, header)
    named = (
        {name: np.stack([part[one] for one in ones], axis=1) for name, ones in chosen.items()}
        for part in parts
    )
    rows, count = sample_rows(named, most, seed)
    for name in ("labels", "intensity"):
        if name in rows:
            rows[name] = rows[name][:, 0]
    return rows, count


def _attributes(header: PlyHeader, path: Path) -> dict[str, list[str]]:
    """For each attribute of a cloud, the names of its properties in this file."""
    by_column = {column_name(name): name for name, _ in reversed(header.properties)}
    found = {
        attribute: [by_column[name] for name in group]
        for attribute, group in GROUPS.items()
        if all(name in by_column for name in group)
    }
    if "points" not in found:
        names = ", ".join(name for name, _ in header.properties)
        raise DataError(f"{path}: its vertices have {names}, and not x, y and z")
    return found


def _binary_parts(path: Path, header: PlyHeader) -> Iterator[np.ndarray]:
    row = np.dtype([(name, header.order + kind) for name, kind in header.properties])
    missing = header.size + header.vertices * row.itemsize - path.stat().st_size
    if missing > 0:
        raise DataError(
            f"{path} lacks {missing} bytes of its {header.vertices} points: it was cut off; copy it again"
        )
    table = np.memmap(path, dtype=row, mode="r", offset=header.size, shape=(header.vertices,))
    yield from parts_of(table)


def _text_parts(path: Path, header: PlyHeader) -> Iterator[dict[str, np.ndarray]]:
    names = [name for name, _ in header.properties]
    is_byte = {name: kind == "u1" for name, kind in header.properties}
    left = header.vertices
    with path.open("rb") as file:
        file.seek(header.size)
        while left:
            lines = [line.decode("latin1") for line in itertools.islice(file, min(LINES, left))]
            if not lines:
                raise DataError(f"{path} lacks {left} of its {header.vertices} points: it was cut off")
            try:
                table = np.loadtxt(lines, ndmin=2, comments=None)
            except ValueError as error:
                raise DataError(f"{path}: its points cannot be read ({str(error).splitlines()[0]})") from None
            if table.shape[1] != len(names):
                raise DataError(f"{path} has points of {table.shape[1]} numbers, its header of {len(names)}")
            left -= len(table)
            yield {
                name: column.astype(np.uint8) if is_byte[name] else column
                for name, column in zip(names, table.T)
            }
