"""Names and colours of classes: label descriptions of ITK-SNAP and colour tables of 3D Slicer (``.ctbl``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dense3d.errors import DataError

MOST_LABELS = 65536
SNAP_HEADER = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
"""
_SNAP = re.compile(r'(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([0-9.eE+-]+)\s+([01])\s+([01])\s+"(.*)"')
_CTBL = re.compile(r"(\d+)\s+(\S+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)")


@dataclass(frozen=True)
class LabelColor:
    """One class of a table.

    Args:
        id: its label, 0 is the background.
        name: for a person.
        color: red, green, blue, 0..255.
        opacity: 0..1.
        visible: whether it is shown.

    Raises:
        DataError: a number is out of its range, or the name has a line break.
    """

    id: int
    name: str
    color: tuple[int, int, int]
    opacity: float = 1.0
    visible: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.id < MOST_LABELS:
            raise DataError(f"labels are numbers 0 to {MOST_LABELS - 1}, not {self.id}")
        if len(self.color) != 3 or not all(0 <= part <= 255 for part in self.color):
            raise DataError(f"label {self.id}: the colour is three numbers 0..255, not {self.color}")
        if not 0 <= self.opacity <= 1:
            raise DataError(f"label {self.id}: the opacity lies in 0..1, not {self.opacity}")
        if not self.name.isprintable():
            raise DataError(f"label {self.id}: the name has characters that cannot be printed")


def write_itk_snap(labels: Sequence[LabelColor]) -> str:
    """The text of a label description file, with the background."""
    rows = sorted(
        {0: LabelColor(0, "Clear Label", (0, 0, 0), 0.0, False), **{one.id: one for one in labels}}.items()
    )
    lines = []
    for number, label in rows:
        red, green, blue = label.color
        name, seen = label.name.replace('"', "'"), int(label.visible)
        lines.append(
            f'{number:5d} {red:5d} {green:4d} {blue:4d} {label.opacity:8.3g} {seen:2d} {seen:2d}    "{name}"'
        )
    return SNAP_HEADER + "\n".join(lines) + "\n"


def read_itk_snap(text: str) -> list[LabelColor]:
    """The labels but the background, in the order of the file.

    Raises:
        DataError: a line is none of a label description.
    """
    labels = []
    for line, match in _lines(text, _SNAP, "a label description of ITK-SNAP"):
        number, red, green, blue = map(int, match.groups()[:4])
        try:
            opacity = float(match[5])
        except ValueError as error:
            raise DataError(f"line {line}: {match[5]!r} is no number") from error
        labels.append(LabelColor(number, match[8], (red, green, blue), opacity, match[6] == "1"))
    return _checked(labels)


def write_ctbl(labels: Sequence[LabelColor]) -> str:
    """The text of a colour table; spaces in names become underscores, as in 3D Slicer."""
    lines = [f"# Color table file\n# {len(labels) + 1} values", "0 Background 0 0 0 0"]
    for label in sorted(labels, key=lambda label: label.id):
        name = re.sub(r"\s", "_", label.name) or "_"
        lines.append(" ".join(map(str, (label.id, name, *label.color, round(255 * label.opacity)))))
    return "\n".join(lines) + "\n"


def read_ctbl(text: str) -> list[LabelColor]:
    """The labels but the background; underscores in names become spaces, as in 3D Slicer.

    Raises:
        DataError: a line is none of a colour table.
    """
    labels = []
    for line, match in _lines(text, _CTBL, "a colour table of 3D Slicer"):
        number, red, green, blue, alpha = (int(match[k]) for k in (1, 3, 4, 5, 6))
        if alpha > 255:
            raise DataError(f"line {line}: the opacity {alpha} is more than 255")
        labels.append(LabelColor(number, match[2].replace("_", " "), (red, green, blue), alpha / 255))
    return _checked(labels)


def _lines(text: str, pattern: re.Pattern, what: str):
    """Number and match of every line that is no comment."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        match = pattern.fullmatch(words) if len(words) < 1000 else None
        if match is None or any(len(part) > 12 for part in match.groups() if part.isdigit()):
            raise DataError(f"line {number} is none of {what}: {words[:60]!r}")
        yield number, match


def _checked(labels: list[LabelColor]) -> list[LabelColor]:
    numbers = [label.id for label in labels]
    if not labels:
        raise DataError("the file has no labels")
    if len(set(numbers)) != len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise DataError(f"label {twice} is there more than once; keep one line of it")
    return [label for label in labels if label.id]
