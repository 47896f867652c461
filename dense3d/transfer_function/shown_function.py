"""The transfer function of intensities as a page edits it: points of value, colour and opacity, or boxes of
values and gradients."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from dense3d.errors import DataError
from dense3d.transfer_function.functions.curves import TransferFunction
from dense3d.transfer_function.functions.regions import Box, Regions

MOST_POINTS = 256
MOST_BOXES = 16
STEEPEST = 1e9  # a gradient that stands for no bound
Number = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Slope = Annotated[float, msgspec.Meta(ge=0, le=STEEPEST)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class FunctionPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Colour and opacity of a value; linear to the next point."""

    value: Number
    color: tuple[Byte, Byte, Byte]
    opacity: Share


class FunctionBox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Colour and opacity of a rectangle of values and gradient magnitudes (value per millimetre)."""

    values: tuple[Number, Number]
    slopes: tuple[Slope, Slope]
    color: tuple[Byte, Byte, Byte]
    opacity: Share

    def __post_init__(self) -> None:
        if self.values[0] > self.values[1] or self.slopes[0] > self.slopes[1]:
            raise ValueError("the ends of a box of a transfer function ascend")

    def box(self) -> Box:
        """For renderers and files."""
        low, high = self.slopes
        color = tuple(part / 255 for part in self.color)
        return Box(self.values, (low, np.inf if high >= STEEPEST else high), color, self.opacity)


class ShownFunction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A 1D transfer function, or a 2D one.

    Args:
        points: by ascending value; beyond the last ones their colour and opacity hold.
        name: of the preset that it is, or "".
        regions: boxes of values and gradients; where there are any, they are shown and the points are not.
    """

    points: Annotated[tuple[FunctionPoint, ...], msgspec.Meta(min_length=1, max_length=MOST_POINTS)]
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    regions: Annotated[tuple[FunctionBox, ...], msgspec.Meta(max_length=MOST_BOXES)] = ()

    def __post_init__(self) -> None:
        values = [point.value for point in self.points]
        if values != sorted(values):
            raise ValueError("the points of a transfer function have ascending values")

    def curve(self) -> TransferFunction | Regions:
        """For renderers and files."""
        if self.regions:
            return Regions(tuple(one.box() for one in self.regions), name=self.name)
        colors = [(point.value, *(part / 255 for part in point.color)) for point in self.points]
        opacities = [(point.value, point.opacity) for point in self.points]
        return TransferFunction(np.array(colors), np.array(opacities), name=self.name)


def shown(function: TransferFunction | Regions) -> ShownFunction:
    """A function with a point wherever colour or opacity of another one bends; boxes as they are.

    Raises:
        DataError: it has more points or boxes than a page edits, or regions that are no boxes.
    """
    if isinstance(function, Regions):
        return _shown_regions(function)
    values = np.union1d(function.colors[:, 0], function.opacities[:, 0])
    points = []
    for value, before, after in zip(values, function(np.nextafter(values, -np.inf)), function(values)):
        # Where the function jumps, two points stand at one value.
        for row in (after,) if np.allclose(before, after, atol=1e-3) else (before, after):
            color = tuple(round(255 * float(part)) for part in row[:3])
            points.append(FunctionPoint(float(value), color, float(row[3])))
    if len(points) > MOST_POINTS:
        raise DataError(f"the transfer function has {len(points)} points; a page edits at most {MOST_POINTS}")
    return ShownFunction(tuple(points), function.name[:200])


def _shown_regions(function: Regions) -> ShownFunction:
    if not 1 <= len(function.regions) <= MOST_BOXES or not all(
        isinstance(one, Box) for one in function.regions
    ):
        raise DataError(f"a 2D transfer function of a page has 1 to {MOST_BOXES} regions, all of them boxes")
    boxes = [
        FunctionBox(
            tuple(map(float, one.values)),
            (float(max(one.slopes[0], 0)), float(min(one.slopes[1], STEEPEST))),
            tuple(round(255 * part) for part in one.color),
            float(one.opacity),
        )
        for one in function.regions
    ]
    # what is shown of values alone once no box is left: nothing
    return ShownFunction((FunctionPoint(0.0, (255, 255, 255), 0.0),), function.name[:200], tuple(boxes))
