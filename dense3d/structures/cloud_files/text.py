"""Points as text: one line a point, with a comma, a semicolon, a tab or blanks between the numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from dense3d.errors import DataError
from dense3d.structures.cloud_files.columns import header_columns, table_attributes
from dense3d.structures.cloud_files.rows import sample_rows

LINES = 200_000  # that are parsed at once
COMMENTS = ("#", "//", "%")


def read_text(
    path: Path, columns: Sequence[str] | None, most: int | None, seed: int
) -> tuple[dict[str, np.ndarray], int]:
    """Attributes of the points of a text file, and how many points it has.

    A first line of names (``x,y,z,red,green,blue,label``) says what the columns are, also behind ``#`` or
    ``//``; a first line with one number, the count of ``.pts`` files, is passed over.

    Args:
        path: file.
        columns: names, see :func:`~dense3d.structures.cloud_files.columns.parse_columns`; None tells them.
        most: at most so many points, chosen at random while reading.
        seed: of the choice.

    Raises:
        DataError: a line is no row of numbers like the others; the message names it.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="strict") as file:
            named, lines, delimiter = _opening(file)
            parts = ({"row": rows} for rows in _tables(lines, delimiter, path))
            rows, count = sample_rows(parts, most, seed)
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text; its suffix must say what it is") from None
    if not rows:
        raise DataError(f"{path} holds no point; make or copy it again")
    return dict(table_attributes(rows["row"], columns or named, path)), count


def _opening(file: IO[str]) -> tuple[tuple[str, ...] | None, Iterator[tuple[int, str]], str | None]:
    """Names of the columns if a first line has them, the numbered lines of numbers, and what is between."""
    lines = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    names, first = None, None
    for number, line in lines:
        bare = line.strip().lstrip("#/%").strip()
        delimiter = next((sign for sign in ",;" if sign in bare), None)
        words = bare.split(delimiter)
        if not _are_numbers(words):
            names = header_columns(words) or names
            if names is None and not line.strip().startswith(COMMENTS):
                first = (number, line)  # no row of numbers and no header: the parser names it
                break
            continue
        if line.strip().startswith(COMMENTS) or len([word for word in words if word.strip()]) == 1:
            continue
        first = (number, line)
        break
    if first is None:
        return names, iter(()), None
    data = itertools.chain([first], lines)
    return names, ((n, line) for n, line in data if not line.lstrip().startswith(COMMENTS)), delimiter


def _tables(lines: Iterator[tuple[int, str]], delimiter: str | None, path: Path) -> Iterator[np.ndarray]:
    width = None
    while part := list(itertools.islice(lines, LINES)):
        try:
            table = np.loadtxt([line for _, line in part], delimiter=delimiter, ndmin=2, comments=None)
        except ValueError:
            raise _fault(part, delimiter, path) from None
        if width not in (None, table.shape[1]):
            raise _fault(part, delimiter, path, width)
        width = table.shape[1]
        yield table


def _fault(
    lines: list[tuple[int, str]], delimiter: str | None, path: Path, width: int | None = None
) -> DataError:
    """What is wrong with the first line that is no row of ``width`` numbers."""
    for number, line in lines:
        words = line.strip().split(delimiter)
        if not _are_numbers(words):
            return DataError(f"{path}, line {number}: {line.strip()[:60]!r} is no row of numbers")
        width = width or len(words)
        if len(words) != width:
            return DataError(
                f"{path}, line {number} has {len(words)} columns, but {width} stand before it; the file was "
                "cut off or its lines are mixed"
            )
    return DataError(f"{path} cannot be read as rows of numbers")


def _are_numbers(words: Sequence[str]) -> bool:
    try:
        [float(word) for word in words]
    except ValueError:
        return False
    return bool(words)
