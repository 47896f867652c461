"""The structures that are looked for: name, colour, opacity, threshold."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import msgspec
import numpy as np

from dense3d.errors import DataError
from dense3d.files import CONTROL

MOST_CLASSES = 254  # labels are bytes, 0 is the background
# Told apart with and without red-green blindness, light enough on a grey slice.
COLORS = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167)),
    *((90, 120, 230), (160, 220, 130), (150, 100, 60), (120, 220, 220), (250, 150, 150), (170, 130, 220)),
)


class ClassError(DataError):
    """A class that is not there, or a property that it cannot have."""


class StructureClass(msgspec.Struct, frozen=True, kw_only=True):
    """A structure to be found.

    Args:
        id: counts from 1 over a session and is never used again; the label in exports.
        name: unique.
        color: red, green, blue, 0..255.
        opacity: 0..1, in the pictures.
        threshold: 0..1; a score holds above it.
    """

    id: int
    name: str
    color: tuple[int, int, int]
    opacity: float = 1.0
    threshold: float = 0.5


def check_class(one: StructureClass) -> None:
    """Complain about properties that a class cannot have.

    Raises:
        ClassError: of the first of them.
    """
    checked_name(one.name)
    checked_color(one.color)
    checked_fraction(one.opacity, "opacity")
    checked_fraction(one.threshold, "threshold")
    if not 1 <= one.id <= MOST_CLASSES:
        raise ClassError(f"the id of a class is 1 to {MOST_CLASSES}, not {one.id}")


def checked_name(name: Any) -> str:
    text = name.strip() if isinstance(name, str) else ""
    if not 0 < len(text) <= 100 or CONTROL.search(text):
        raise ClassError("a class needs a name of 1 to 100 characters in one line")
    return text


def checked_fraction(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ClassError(f"{field} is a number from 0 to 1, not {str(value)[:20]}")
    return float(value)


def checked_color(value: Any, field: str = "color") -> tuple[int, int, int]:
    numbers = tuple(value) if isinstance(value, (Sequence, np.ndarray)) else ()
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in numbers)
    if len(numbers) != 3 or not whole or not all(0 <= n <= 255 for n in numbers):
        raise ClassError(f"{field} is red, green, blue from 0 to 255, not {str(value)[:40]}")
    return tuple(int(n) for n in numbers)
