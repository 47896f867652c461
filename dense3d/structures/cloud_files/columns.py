"""What the columns of a table of points mean: named, or told by their number and values, which is said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.structures.cloud_files.notes import say

# attribute of a cloud -> its columns
GROUPS = {
    "points": ("x", "y", "z"),
    "colors": ("r", "g", "b"),
    "normals": ("nx", "ny", "nz"),
    "labels": ("label",),
    "intensity": ("intensity",),
}
ALIASES = {
    **{"red": "r", "green": "g", "blue": "b", "normal_x": "nx", "normal_y": "ny", "normal_z": "nz"},
    **{"diffuse_red": "r", "diffuse_green": "g", "diffuse_blue": "b"},
    **{"scalar_classification": "label", "scalar_label": "label"},
    **{"class": "label", "segment": "label", "part": "label", "classification": "label"},
    **{"i": "intensity", "reflectance": "intensity", "scalar_intensity": "intensity"},
}
SKIPPED = "-"
KNOWN = (*(name for group in GROUPS.values() for name in group), SKIPPED)
EXAMPLE = "columns='x y z r g b'"
LARGEST = 2.0**53  # up to here floats hold every whole number
UNIT_TOLERANCE = 0.05  # of a normal's length


def parse_columns(
    columns: str | int | Sequence[str] | None, where: str | Path = ""
) -> tuple[str, ...] | None:
    """Names of columns as they are written in a config or on a command line.

    Args:
        columns: ``"x y z r g b"``, a list of such names, a number of columns of which the first three are
            coordinates and the fourth is intensity, or None.
        where: file, for messages.

    Raises:
        ConfigError: a name is unknown or stands twice, or x, y and z are not all there.

    Example:
        >>> parse_columns("x,y,z,Red,Green,Blue,-")
        ('x', 'y', 'z', 'r', 'g', 'b', '-')
        >>> parse_columns(5)
        ('x', 'y', 'z', 'intensity', '-')
    """
    if columns is None:
        return None
    if isinstance(columns, (int, np.integer)):
        if columns < 3:
            raise ConfigError(f"{where}: columns={columns}: points have at least three, x, y and z")
        return ("x", "y", "z", "intensity", *([SKIPPED] * int(columns)))[: int(columns)]
    names = re.split(r"[\s,;]+", columns.strip()) if isinstance(columns, str) else list(columns)
    found = tuple(column_name(name) or str(name) for name in names)
    for name in found:
        if name not in KNOWN:
            hint = did_you_mean(name, KNOWN)
            raise ConfigError(f"{where}: unknown column {name!r}{hint}; known are {', '.join(KNOWN)}")
    return _checked_names(found, where)


def header_columns(names: Sequence[str]) -> tuple[str, ...] | None:
    """Names in the first line of a file; what is unknown is skipped. None where x, y and z are not there."""
    found = [column_name(name) or SKIPPED for name in names]
    repeated = {name for name in found if name != SKIPPED and found.count(name) > 1}
    if not {"x", "y", "z"} <= set(found) or repeated:
        return None
    return tuple(found)


def column_name(text: str) -> str | None:
    """The name by which we know a column, or None."""
    name = str(text).strip().strip("\"'").lower()
    name = ALIASES.get(name, name)
    return name if name in KNOWN else None


def split_columns(values: np.ndarray, names: Sequence[str], where: str | Path) -> dict[str, np.ndarray]:
    """From a table (N, C) to the attributes of a cloud, with the numbers as they are.

    Raises:
        DataError: the table has another number of columns, only some of a group's columns are there, or
            labels are not whole numbers.
    """
    if values.shape[1] != len(names):
        raise DataError(
            f"{where} has {values.shape[1]} columns, but {len(names)} are named ({' '.join(names)}); "
            f"name each, as in {EXAMPLE}, with - for one that is skipped"
        )
    found: dict[str, np.ndarray] = {}
    for attribute, group in GROUPS.items():
        there = [name for name in group if name in names]
        if len(there) != len(group):
            if there:
                raise DataError(f"{where}: of {' '.join(group)} it has only {' '.join(there)}")
            continue
        found[attribute] = values[:, [names.index(name) for name in group]]
    for attribute in ("labels", "intensity"):
        if attribute in found:
            found[attribute] = found[attribute][:, 0]
    if "labels" in found:
        found["labels"] = whole_numbers(found["labels"], where)
    return found


def whole_numbers(values: np.ndarray, where: str | Path) -> np.ndarray:
    """Labels as integers.

    Raises:
        DataError: they are not whole numbers.
    """
    values = np.asarray(values)
    if values.dtype.kind in "biu":
        return values.astype(np.int64)
    whole = (values == np.rint(values)) & (np.abs(values) < LARGEST)  # neither holds for NaN
    if not whole.all():
        bad = values[~whole][0]
        raise DataError(f"{where}: labels are whole numbers, but one is {bad}; name the columns, {EXAMPLE}")
    return values.astype(np.int64)


def guess_columns(values: np.ndarray, where: str | Path) -> tuple[str, ...]:
    """Names of the columns of a table that has none, by their number and values.

    Three more numbers a point are normals where they are nearly all of unit length and some are negative,
    else colours. A single one is intensity after coordinates alone, and a label after colours or
    normals where it is whole. In ``.pts`` files, and where of seven columns the last three are bytes and the
    fourth is none, intensity comes before colours. Guesses are said.

    Args:
        values: (N, C).

    Raises:
        DataError: the number of columns fits none of these.

    Example:
        >>> guess_columns(np.zeros((5, 3)), "a.xyz")
        ('x', 'y', 'z')
    """
    count = values.shape[1]
    if count == 3:
        return GROUPS["points"]
    if count not in (4, 6, 7, 9, 10):
        raise DataError(
            f"{where} has {count} columns, and what they mean cannot be told; name them, as in {EXAMPLE}, "
            "with - for one that is skipped"
        )
    is_pts = Path(where).suffix.lower() == ".pts"
    if count == 7 and (is_pts or _has_intensity_before_bytes(values)):
        names = (*GROUPS["points"], "intensity", *GROUPS["colors"])
    else:
        names = (*GROUPS["points"], *_names_behind_points(values[:, 3:]))
    say(f"{where}: its {count} columns are taken as {' '.join(names)}; say columns='...' if they are others")
    return names


def table_attributes(
    values: np.ndarray, columns: Sequence[str] | None, where: str | Path
) -> Mapping[str, np.ndarray]:
    """The attributes in a table whose columns are named or told by their values."""
    return split_columns(values, columns or guess_columns(values, where), where)


def _names_behind_points(values: np.ndarray) -> list[str]:
    """Names of the columns behind the coordinates: threes, and perhaps a single one at the end."""
    names: list[str] = []
    threes = values.shape[1] // 3
    for start in range(0, 3 * threes, 3):
        kind = "normals" if _are_normals(values[:, start : start + 3]) else "colors"
        if GROUPS[kind][0] in names:
            kind = "normals" if kind == "colors" else "colors"
        names += GROUPS[kind]
    if values.shape[1] % 3:
        last = values[:, -1]
        names.append("label" if threes and (last == np.rint(last)).all() else "intensity")
    return names


def _has_intensity_before_bytes(values: np.ndarray) -> bool:
    """Whether the last three of seven columns are bytes, and the fourth is none."""
    with np.errstate(invalid="ignore"):
        is_byte = ((values >= 0) & (values <= 255) & (values == np.rint(values))).all(axis=0)
    return bool(is_byte[4:].all() and not is_byte[3])


def _are_normals(values: np.ndarray) -> bool:
    lengths = np.linalg.norm(values[np.isfinite(values).all(axis=1)], axis=1)
    known = lengths[lengths > 0]
    if not len(known) or (values >= 0).all():
        return False
    return bool((np.abs(known - 1) < UNIT_TOLERANCE).mean() > 0.9)


def _checked_names(names: tuple[str, ...], where: str | Path) -> tuple[str, ...]:
    repeated = [name for name in names if name != SKIPPED and names.count(name) > 1]
    if repeated or not {"x", "y", "z"} <= set(names):
        what = f"{repeated[0]!r} stands twice" if repeated else "x, y and z must be among them"
        raise ConfigError(f"{where}: columns {' '.join(names)}: {what}")
    return names
