"""Labels of a volume's voxels with names and colours."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dense3d.errors import ConfigError

Color = tuple[float, float, float]  # red, green, blue of 0 .. 1


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a segmentation file says of a volume.

    Args:
        labels: (X, Y, Z) integers on the volume's full grid, in its axis order; 0 is the background.
        names: label -> name, for each label but 0.
        colors: label -> red, green, blue of 0 .. 1, for each label but 0.
        notes: one sentence each on what a person should know.
    """

    labels: np.ndarray
    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, Color] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def default_color(label: int) -> Color:
    """Colours that differ for labels that follow each other.

    Example:
        >>> default_color(1) != default_color(2)
        True
    """
    hue = (label * 0.6180339887498949 + 0.38) % 1  # the golden ratio spreads hues
    value = (0.95, 0.75)[label // 8 % 2]
    return tuple(round(part, 4) for part in colorsys.hsv_to_rgb(hue, 0.65, value))


def default_name(label: int) -> str:
    """What a structure is called that has no name."""
    return f"Segment {label}"


def checked_labels(labels: np.ndarray) -> np.ndarray:
    """(X, Y, Z) in the narrowest unsigned type.

    Raises:
        ConfigError: they are negative, too large or no integers.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    low, high = (labels.min(), labels.max()) if labels.size else (0, 0)
    if labels.dtype.kind not in "iu" or low < 0 or high > 65535:
        raise ConfigError(
            f"labels of type {labels.dtype} from {low} to {high} cannot be written: labels are integers of "
            "0 to 65535"
        )
    return labels.astype(np.uint8 if high < 256 else np.uint16, copy=False)


def present_labels(labels: np.ndarray) -> list[int]:
    """Labels that occur, ascending, without a copy of the volume.

    Args:
        labels: any shape, of an unsigned type of at most 16 bits.

    Example:
        >>> present_labels(np.array([[0, 7], [7, 2]], np.uint8))
        [0, 2, 7]
    """
    occurs = np.zeros(65536, bool)
    axis = int(np.argmax(np.abs(labels.strides))) if labels.ndim else 0
    for index in range(labels.shape[axis] if labels.size else 0):
        occurs[labels[(slice(None),) * axis + (index,)]] = True
    return np.flatnonzero(occurs).tolist()


def described(
    labels: np.ndarray, names: Mapping[int, str] | None, colors: Mapping[int, Color] | None
) -> list[tuple[int, str, Color]]:
    """(label, name, colour) of all that are named or present, ascending.

    Raises:
        ConfigError: a colour is no three numbers of 0 .. 1.
    """
    names, colors = dict(names or {}), dict(colors or {})
    present = {*present_labels(labels), *names, *colors}
    result = []
    for label in sorted(present - {0}):
        color = tuple(float(part) for part in colors.get(label, default_color(label)))
        if len(color) != 3 or not all(0 <= part <= 1 for part in color):
            raise ConfigError(f"the colour {color} of label {label} must be red, green, blue of 0 to 1")
        result.append((label, str(names.get(label) or default_name(label)), color))
    return result
