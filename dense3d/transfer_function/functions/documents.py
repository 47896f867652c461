"""Transfer functions as plain objects of JSON: this tool's own format, and what a session keeps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dense3d.errors import DataError
from dense3d.transfer_function.functions.curves import TransferFunction
from dense3d.transfer_function.functions.regions import Box, Gaussian, Regions

FORMAT = "dense3d transfer function"
SHAPES = {"box": (Box, ("values", "slopes")), "gaussian": (Gaussian, ("center", "deviation"))}


def to_document(function: TransferFunction | Regions) -> dict[str, Any]:
    """An object that :func:`json.dumps` takes and :func:`from_document` reads.

    Example:
        >>> to_document(TransferFunction([[0, 1, 1, 1]], [[0, 0], [9, 1]], name="all"))["opacities"]
        [[0.0, 0.0], [9.0, 1.0]]
    """
    head = {"format": FORMAT, "version": 1, "name": function.name, "unit_distance": function.unit_distance}
    if isinstance(function, Regions):
        return {**head, "kind": "regions", "regions": [_region_document(one) for one in function.regions]}
    slopes = function.gradient_opacities
    return {
        **head,
        "kind": "curves",
        "colors": function.colors.tolist(),
        "opacities": function.opacities.tolist(),
        "gradient_opacities": None if slopes is None else slopes.tolist(),
    }


def from_document(document: Any) -> TransferFunction | Regions:
    """The transfer function of an object.

    Raises:
        DataError: it is no such object; the sentence says which part is not.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(f"a transfer function is an object with format {FORMAT!r}")
    if document.get("version") != 1:
        raise DataError(
            f"version {document.get('version')!r} of a transfer function is not known: update dense3d"
        )
    name = document.get("name", "")
    if not isinstance(name, str) or len(name) > 200:
        raise DataError("the name of a transfer function is a text of at most 200 characters")
    common = {"unit_distance": _distance(document.get("unit_distance")), "name": name}
    kind = document.get("kind")
    if kind == "regions":
        regions = document.get("regions")
        if not isinstance(regions, list):
            raise DataError("regions of a transfer function are a list")
        return Regions(tuple(_region(number, one) for number, one in enumerate(regions[:1000])), **common)
    if kind != "curves":
        raise DataError(f"the kind of a transfer function is curves or regions, not {kind!r}")
    for field in ("colors", "opacities"):
        if field not in document:
            raise DataError(f"the transfer function lacks {field!r}")
    curves = (document["colors"], document["opacities"])
    return TransferFunction(*curves, gradient_opacities=document.get("gradient_opacities"), **common)


def _distance(value: Any) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise DataError(f"the unit distance is a number of millimetres or null, not {value!r}")


def _region_document(region: Box | Gaussian) -> dict[str, Any]:
    shape = "box" if isinstance(region, Box) else "gaussian"
    document = {"shape": shape, "color": [*map(float, region.color)], "opacity": float(region.opacity)}
    for field in SHAPES[shape][1]:
        pair = getattr(region, field)
        document[field] = [None if math.isinf(number) else float(number) for number in pair]
    return document


def _region(number: int, document: Any) -> Box | Gaussian:
    shape = document.get("shape") if isinstance(document, dict) else None
    if shape not in ("box", "gaussian"):
        raise DataError(f"region {number} has the shape box or gaussian, not {shape!r}")
    kind, fields = SHAPES[shape]
    wanted = (*fields, "color", "opacity")
    missing = [field for field in wanted if field not in document]
    if missing:
        raise DataError(f"region {number} lacks {missing[0]!r}")
    parts = {field: document[field] for field in wanted}
    for field in (*fields, "color"):
        if not isinstance(parts[field], list):
            raise DataError(f"region {number}: {field} is a list, not {parts[field]!r}")
        parts[field] = tuple(parts[field])
    if shape == "box" and len(parts["slopes"]) == 2 and parts["slopes"][1] is None:
        parts["slopes"] = (parts["slopes"][0], np.inf)
    return kind(**parts)
