"""The transfer function of intensities as a page edits it: points of value, colour and opacity."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from dense3d.errors import DataError
from dense3d.transfer_function.functions.curves import TransferFunction

MOST_POINTS = 256
Number = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class FunctionPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Colour and opacity of a value; linear to the next point."""

    value: Number
    color: tuple[Byte, Byte, Byte]
    opacity: Share


class ShownFunction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A 1D transfer function.

    Args:
        points: by ascending value; beyond the last ones their colour and opacity hold.
        name: of the preset that it is, or "".
    """

    points: Annotated[tuple[FunctionPoint, ...], msgspec.Meta(min_length=1, max_length=MOST_POINTS)]
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""

    def __post_init__(self) -> None:
        values = [point.value for point in self.points]
        if values != sorted(values):
            raise ValueError("the points of a transfer function have ascending values")

    def curve(self) -> TransferFunction:
        """For renderers and files."""
        colors = [(point.value, *(part / 255 for part in point.color)) for point in self.points]
        opacities = [(point.value, point.opacity) for point in self.points]
        return TransferFunction(np.array(colors), np.array(opacities), name=self.name)


def shown(function: TransferFunction) -> ShownFunction:
    """A function with a point wherever colour or opacity of another one bends.

    Raises:
        DataError: it has more points than a page edits.
    """
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
