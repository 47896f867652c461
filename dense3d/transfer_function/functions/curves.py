"""1D transfer functions: colour and opacity as piecewise-linear curves over the values of a volume."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from dense3d.errors import DataError

MOST_POINTS = 4096  # of a curve


@dataclass(frozen=True, eq=False)
class TransferFunction:
    """Colour and opacity of values; constant outside of the points, linear between them.

    Of points with equal values the last holds from there on, which makes a step.

    Args:
        colors: (K, 4) float64 rows value, red, green, blue with colours in 0..1, by ascending value.
        opacities: (M, 2) float64 rows value, opacity in 0..1, by ascending value.
        unit_distance: millimetres over which a sample has its opacity; None: the finest voxel spacing.
        gradient_opacities: (G, 2) rows of gradient magnitude (value per millimetre) and a factor of the
            opacity; None: no such factor. It is kept for the programs that use it and has no effect here.
        name: for a person.

    Raises:
        DataError: no points, too many, not finite, not ascending, or outside of 0..1.

    Example:
        >>> bone = TransferFunction([[0, 1, 1, 1]], [[100, 0.0], [300, 0.8]])
        >>> bone(200.0).round(3).tolist()
        [1.0, 1.0, 1.0, 0.4]
    """

    colors: np.ndarray
    opacities: np.ndarray
    unit_distance: float | None = None
    gradient_opacities: np.ndarray | None = None
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "colors", checked_points(self.colors, 4, "colour"))
        object.__setattr__(self, "opacities", checked_points(self.opacities, 2, "opacity"))
        if self.gradient_opacities is not None:
            points = checked_points(self.gradient_opacities, 2, "gradient opacity")
            object.__setattr__(self, "gradient_opacities", points)
        if self.unit_distance is not None and not 0 < self.unit_distance < np.inf:
            raise DataError(f"the unit distance of opacities must be positive, not {self.unit_distance}")

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """(..., 4) red, green, blue, opacity of values (...)."""
        values = np.asarray(values, np.float64)
        channels = [interpolate(values, self.colors[:, 0], self.colors[:, c]) for c in (1, 2, 3)]
        return np.stack([*channels, interpolate(values, *self.opacities.T)], -1)

    def table(self, low: float, high: float, entries: int = 4096) -> np.ndarray:
        """(entries, 1, 4) float32 over ``low .. high``: what renderers interpolate in.

        The second axis is that of gradient magnitudes, of which there is one: see :class:`.regions.Regions`.
        """
        return self(np.linspace(low, high, entries)).astype(np.float32)[:, None]

    def control_points(self, unit_distance: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Positions (P,), rows (P, 4) of colour and extinction in 1 / mm, for :func:`dense3d.ops.cast_rays`.

        Args:
            unit_distance: taken where this function has none.
        """
        positions = np.union1d(self.colors[:, 0], self.opacities[:, 0])
        rows = self(positions)
        rows[:, 3] = -np.log1p(-np.minimum(rows[:, 3], 0.999)) / (self.unit_distance or unit_distance)
        return positions, rows

    def moved(self, offset: float = 0.0, stretch: float = 1.0) -> TransferFunction:
        """Every value v at ``middle + stretch * (v - middle) + offset``, the middle that of the opacities.

        Dragging along and across in a 3D view does that: the window of the transfer function.

        Raises:
            DataError: ``stretch`` is not positive.
        """
        if not stretch > 0:
            raise DataError(f"a transfer function is stretched by a positive factor, not {stretch}")
        middle = (self.opacities[0, 0] + self.opacities[-1, 0]) / 2

        def at(points: np.ndarray) -> np.ndarray:
            return np.column_stack([middle + stretch * (points[:, 0] - middle) + offset, points[:, 1:]])

        return replace(self, colors=at(self.colors), opacities=at(self.opacities))


def interpolate(values: np.ndarray, positions: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """:func:`numpy.interp`, with the last of equal positions holding from there on."""
    if len(positions) == 1:
        return np.full(values.shape, heights[0])
    piece = np.clip(np.searchsorted(positions, values, "right") - 1, 0, len(positions) - 2)
    start, width = positions[piece], positions[piece + 1] - positions[piece]
    share = np.where(width > 0, (values - start) / np.where(width > 0, width, 1), values >= start)
    return heights[piece] + np.clip(share, 0, 1) * (heights[piece + 1] - heights[piece])


def checked_points(points: Iterable, columns: int, what: str) -> np.ndarray:
    """(K, columns) float64 of ascending values and numbers in 0..1.

    Raises:
        DataError: they are not.
    """
    try:
        array = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the {what} points are no table of numbers: {error}") from error
    if array.ndim != 2 or array.shape[1] != columns or not len(array):
        raise DataError(f"{what} points are rows of {columns} numbers, at least one, not {array.shape}")
    if len(array) > MOST_POINTS:
        raise DataError(f"{len(array)} {what} points are too many: at most {MOST_POINTS}")
    if not np.isfinite(array).all():
        raise DataError(
            f"{what} points must be finite; point {int(np.argmax(~np.isfinite(array).all(1)))} is not"
        )
    wrong = np.flatnonzero(np.diff(array[:, 0]) < 0)
    if len(wrong):
        raise DataError(
            f"{what} points must have ascending values; point {wrong[0] + 1} is below the one before"
        )
    outside = ((array[:, 1:] < 0) | (array[:, 1:] > 1)).any(1)
    if outside.any():
        raise DataError(f"{what} points have numbers in 0..1; point {int(outside.argmax())} does not")
    array.setflags(write=False)
    return array
