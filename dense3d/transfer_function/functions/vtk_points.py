"""Points of VTK's piecewise functions, as 3D Slicer and ParaView save them.

A point has a value, heights, a midpoint and a sharpness.

Midpoint m is where between two points the mean of their heights is reached. At sharpness 0 both halves are
straight, at 1 the curve jumps there; what lies between is a Hermite curve, which a piecewise-linear function
cannot be. VTK keeps one point a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dense3d.errors import DataError
from dense3d.transfer_function.functions.curves import MOST_POINTS


def number(value: Any, what: str) -> float:
    """A finite float.

    Raises:
        DataError: it is none.
    """
    try:
        result = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = float("nan")
    if not np.isfinite(result):
        raise DataError(f"{what} is no number: {str(value)[:40]!r}")
    return result


def from_vtk(rows: Sequence[Sequence[float]], what: str) -> np.ndarray:
    """(K, 1 + heights) points of rows of value, heights..., midpoint, sharpness, which may be in any order.

    Raises:
        DataError: there are none or too many, or a curve between two points is not straight.
    """
    if not 1 <= len(rows) <= MOST_POINTS:
        raise DataError(f"{what} has {len(rows)} points: 1 to {MOST_POINTS} can be read")
    array = np.array(rows, float)
    array = array[np.argsort(array[:, 0], kind="stable")]
    array = array[np.append(np.diff(array[:, 0]) > 0, True)]  # the last of equal values
    points = []
    for row, following in zip(array, [*array[1:], None]):
        points.append(row[:-2])
        if following is None:
            break
        midpoint, sharpness = row[-2:]
        if not 0 <= midpoint <= 1 or 0.01 <= sharpness <= 0.99 or not 0 <= sharpness <= 1:
            raise DataError(
                f"{what} is bent between {row[0]:g} and {following[0]:g} (midpoint {midpoint:g}, sharpness "
                f"{sharpness:g}); set midpoint 0.5 and sharpness 0 there and save it again"
            )
        place = row[0] + midpoint * (following[0] - row[0])
        if sharpness > 0.99:
            points += [np.append(place, row[1:-2]), np.append(place, following[1:-2])]
        elif abs(midpoint - 0.5) > 1e-6:
            points.append(np.append(place, (row[1:-2] + following[1:-2]) / 2))
    return np.array(points)


def without_steps(points: np.ndarray) -> np.ndarray:
    """Equal values moved apart by a millionth of the range, as VTK keeps one point a value."""
    points = points.copy()
    gap = 1e-6 * max(np.ptp(points[:, 0]), 1e-9)
    for k in range(len(points) - 2, -1, -1):
        points[k, 0] = min(points[k, 0], points[k + 1, 0] - gap)
    return points
