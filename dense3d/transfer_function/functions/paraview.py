"""Colour maps of ParaView, in JSON.

RGBPoints has four numbers a point (value, red, green, blue), and so has Points (value, opacity, midpoint,
sharpness).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dense3d.errors import DataError
from dense3d.transfer_function.functions.curves import TransferFunction
from dense3d.transfer_function.functions.vtk_points import from_vtk, number, without_steps


def to_paraview_document(function: TransferFunction) -> list[dict[str, Any]]:
    """The list of one colour map that ParaView imports."""
    opacities = without_steps(function.opacities)
    points = np.column_stack([opacities, np.full(len(opacities), 0.5), np.zeros(len(opacities))])
    return [
        {
            "ColorSpace": "RGB",
            "Name": function.name or "dense3d",
            "NanColor": [0.0, 0.0, 0.0],
            "Points": points.ravel().tolist(),
            "RGBPoints": without_steps(function.colors).ravel().tolist(),
        }
    ]


def from_paraview_document(document: Any) -> TransferFunction:
    """The first colour map of a list; a map without opacities rises from 0 to 1 over its values.

    Raises:
        DataError: its colours are not interpolated in RGB, or a part is missing or is none.
    """
    first = document[0] if isinstance(document, list) and document else document
    if not isinstance(first, dict) or "RGBPoints" not in first:
        raise DataError("a colour map of ParaView has RGBPoints")
    space = first.get("ColorSpace", "RGB")
    if space != "RGB":
        raise DataError(
            f"the colour map is interpolated in {str(space)[:20]!r}: choose the colour space RGB in "
            "ParaView's colour map editor and save it again"
        )
    colors = _rows(first["RGBPoints"], "RGBPoints")
    colors = from_vtk([[*row, 0.5, 0.0] for row in colors], "RGBPoints")
    if first.get("Points") is None:
        opacities = np.array([[colors[0, 0], 0.0], [colors[-1, 0], 1.0]])
    else:
        opacities = from_vtk(_rows(first["Points"], "Points"), "Points")
    name = first.get("Name")
    return TransferFunction(colors, opacities, name=name[:200] if isinstance(name, str) else "")


def _rows(numbers: Any, what: str) -> list[list[float]]:
    if not isinstance(numbers, list) or len(numbers) % 4 or not numbers:
        raise DataError(f"{what} are four numbers a point")
    values = [number(one, f"a number of {what}") for one in numbers]
    return [values[k : k + 4] for k in range(0, len(values), 4)]
