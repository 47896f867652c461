"""Volume properties of 3D Slicer: ``.vp.json`` (5.9 and newer) and the older ``.vp`` text.

A ``.vp`` has a line each for interpolation type, shading, diffuse, ambient, specular, specular power, and
three lines of a count of numbers and the numbers: scalar opacity (value, opacity), gradient opacity
(gradient, opacity), colour (value, red, green, blue).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dense3d.errors import DataError
from dense3d.transfer_function.functions.curves import TransferFunction
from dense3d.transfer_function.functions.vtk_points import from_vtk, number, without_steps

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/main/Modules/Loadable/VolumeRendering/Resources/Schema/"
    "volume-property-schema-v1.0.0.json#"
)
LIGHTING = {"diffuse": 0.80, "ambient": 0.28, "specular": 0.16, "specularPower": 28.0}
FLAT = np.array([[0.0, 1.0], [1.0, 1.0]])  # gradient opacity that changes nothing
LINE_NAMES = ("scalar opacity", "gradient opacity", "colour")


def write_vp(function: TransferFunction) -> str:
    """The text of a ``.vp``; its unit distance is not kept, as the format has no place for it."""
    slopes = FLAT if function.gradient_opacities is None else function.gradient_opacities
    lines = ["1", "1", *(f"{value:g}" for value in LIGHTING.values())]
    for points in (function.opacities, slopes, function.colors):
        numbers = without_steps(points).ravel()
        lines.append(" ".join([str(len(numbers)), *(repr(float(one)) for one in numbers)]))
    return "\n".join(lines) + "\n"


def read_vp(text: str) -> TransferFunction:
    """The transfer function of a ``.vp``.

    Raises:
        DataError: lines or numbers are missing, or are none.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < 9:
        raise DataError(f"a .vp has nine lines of numbers, this has {len(lines)}")
    for words in lines[:6]:
        number(words[0], "a property of the volume")
    opacities, slopes, colors = (
        _numbers(words, columns, what) for words, columns, what in zip(lines[6:9], (2, 2, 4), LINE_NAMES)
    )
    return TransferFunction(colors, opacities, gradient_opacities=slopes)


def _numbers(words: list[str], columns: int, what: str) -> np.ndarray:
    if not words[0].isdigit() or int(words[0]) % columns or int(words[0]) > len(words) - 1:
        raise DataError(
            f"the line of {what} starts with a count of numbers, {columns} a point; it says "
            f"{words[0][:20]!r} and {len(words) - 1} follow"
        )
    values = [number(word, f"a number of {what}") for word in words[1 : 1 + int(words[0])]]
    rows = [[*values[k : k + columns], 0.5, 0.0] for k in range(0, len(values), columns)]
    return from_vtk(rows, f"the {what}")


def to_vp_document(function: TransferFunction) -> dict[str, Any]:
    """The object of a ``.vp.json``."""
    slopes = FLAT if function.gradient_opacities is None else function.gradient_opacities
    ends = np.concatenate([function.colors[:, 0], function.opacities[:, 0]])
    component = {
        "componentWeight": 1.0,
        "shade": True,
        "lighting": LIGHTING,
        "disableGradientOpacity": function.gradient_opacities is None,
        "scalarOpacityUnitDistance": function.unit_distance or 1.0,
        "rgbTransferFunction": {
            "type": "colorTransferFunction",
            "points": [
                {"x": p[0], "color": p[1:], **STRAIGHT} for p in without_steps(function.colors).tolist()
            ],
        },
        "scalarOpacity": _piecewise(function.opacities),
        "gradientOpacity": _piecewise(slopes),
    }
    properties = {
        "effectiveRange": [float(ends.min()), float(ends.max())],
        "isoSurfaceValues": [],
        "independentComponents": True,
        "interpolationType": "linear",
        "useClippedVoxelIntensity": False,
        "clippedVoxelIntensity": -1e10,
        "scatteringAnisotropy": 0.0,
        "components": [component],
    }
    return {"@schema": SCHEMA, "volumeProperties": [properties]}


STRAIGHT = {"midpoint": 0.5, "sharpness": 0.0}


def _piecewise(points: np.ndarray) -> dict[str, Any]:
    rows = [{"x": x, "y": y, **STRAIGHT} for x, y in without_steps(points).tolist()]
    return {"type": "piecewiseLinearFunction", "points": rows}


def from_vp_document(document: Any) -> TransferFunction:
    """The transfer function of the first component of a ``.vp.json``.

    Raises:
        DataError: a part is missing or is none.
    """
    volume = _first(document, "volumeProperties")
    component = _first(volume, "components")
    colors = _points(component, "rgbTransferFunction", _color)
    opacities = _points(component, "scalarOpacity", lambda point: [point.get("y")])
    slopes = None
    if not component.get("disableGradientOpacity", True) and "gradientOpacity" in component:
        slopes = _points(component, "gradientOpacity", lambda point: [point.get("y")])
    distance = component.get("scalarOpacityUnitDistance")
    distance = None if distance is None else number(distance, "scalarOpacityUnitDistance")
    return TransferFunction(colors, opacities, distance, slopes)


def _first(document: Any, name: str) -> dict[str, Any]:
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise DataError(f"a .vp.json has a list {name} of objects")
    return found[0]


def _color(point: dict[str, Any]) -> list:
    color = point.get("color")
    if not isinstance(color, list) or len(color) != 3:
        raise DataError("a point of rgbTransferFunction has a color of three numbers")
    return color


def _points(component: dict[str, Any], name: str, heights) -> np.ndarray:
    function = component.get(name)
    points = function.get("points") if isinstance(function, dict) else None
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise DataError(f"a component of a .vp.json has {name} with a list of points")
    rows = [
        [point.get("x"), *heights(point), point.get("midpoint", 0.5), point.get("sharpness", 0.0)]
        for point in points
    ]
    return from_vtk([[number(one, f"a number of {name}") for one in row] for row in rows], name)
