"""Shapes of LabelMe (https://github.com/wkentaro/labelme), which other labelling tools import as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

VERSION = "5.5.0"
LEAST_AREA = 4.0  # square pixels; smaller specks of a mask are no outline that a person would edit
TOLERANCE = 0.7  # pixels that an outline may lie beside the mask's


def rectangle(label: str, box: np.ndarray, score: float | None = None) -> dict[str, Any]:
    """A box with corners ``(x1, y1, x2, y2)`` in pixels."""
    x1, y1, x2, y2 = (float(v) for v in box)
    return _shape(label, [[x1, y1], [x2, y2]], "rectangle", None, score)


def polygons(
    label: str, mask: np.ndarray, group: int, score: float | None = None
) -> Iterator[dict[str, Any]]:
    """The outer outlines of a mask ``(H, W)``, in pixels; the parts of one object share a group id.

    Holes are not part of the format and are filled.

    Example:
        >>> mask = np.zeros((8, 8), bool)
        >>> mask[2:5, 1:7] = True
        >>> [shape["points"] for shape in polygons("cat", mask, 1)]
        [[[1.0, 2.0], [1.0, 4.0], [6.0, 4.0], [6.0, 2.0]]]
    """
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        points = cv2.approxPolyDP(outline, TOLERANCE, True)[:, 0]
        if len(points) >= 3 and cv2.contourArea(outline) >= LEAST_AREA:
            yield _shape(label, points.astype(float).tolist(), "polygon", group, score)


def _shape(label: str, points: list, kind: str, group: int | None, score: float | None) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": group,
        "description": "" if score is None else f"score {score:.3f}",
        "shape_type": kind,
        "flags": {},
    }
