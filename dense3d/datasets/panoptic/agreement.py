"""Does ``segments_info`` agree with the png? Ids, areas and boxes of one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.panoptic.id_map import VOID, constant_runs, palette_note, segment_areas
from dense3d.errors import DataError

Segments = Sequence[dict[str, Any]]


def disagreements(ids: np.ndarray, areas: np.ndarray, segments: Segments) -> list[tuple[str, str]]:
    """Rules that an image breaks, each with the values seen.

    Args:
        ids, areas: ids of the map with their numbers of pixels, see
            :func:`~dense3d.datasets.panoptic.id_map.segment_areas`.
        segments: ``segments_info``; an ``area`` is compared where it is given.

    Returns:
        Pairs of rule (``"id-not-listed"``, ``"id-not-in-png"``, ``"area-differs"``) and sentence.
    """
    counted = dict(zip(ids.tolist(), areas.tolist()))
    counted.pop(VOID, None)
    listed = {segment["id"]: segment for segment in segments}
    found = [
        ("id-not-listed", f"segment {number} ({area} pixels of the png) is not in segments_info")
        for number, area in counted.items()
        if number not in listed
    ]
    for number, segment in listed.items():
        if number not in counted:
            found.append(("id-not-in-png", f"segment {number} of segments_info has no pixel in the png"))
        elif segment.get("area", counted[number]) != counted[number]:
            stated = repr(segment["area"])[:60]
            value = f"segment {number} has area {stated} in segments_info but {counted[number]} pixels"
            found.append(("area-differs", value))
    return found


def check_segments(ids: np.ndarray, segments: Segments, where: str, png: str | Path | None = None) -> None:
    """Stop if ``segments_info`` disagrees with the map.

    Args:
        ids: ``(H, W)`` map of segment ids.
        segments: ``segments_info`` of the image.
        where: file and image, for the message.
        png: the map's file; the message says if it has a palette.

    Raises:
        DataError: an id is only in one of the two, or an area differs.
    """
    try:
        refuse(disagreements(*segment_areas(ids), segments), png)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def refuse(found: list[tuple[str, str]], png: str | Path | None = None) -> None:
    """Stop with the first of an image's disagreements and the number of all.

    Args:
        found: what :func:`disagreements` gives.
        png: the map's file; the message says if it has a palette.

    Raises:
        DataError: there is one; who calls puts file and image before the message.
    """
    if found:
        rest = f" [and {len(found) - 1} more in this image]" if found[1:] else ""
        rule, value = found[0]
        palette = palette_note(png) if png and rule != "area-differs" else ""
        raise DataError(
            f"{value} ({rule}){rest}{palette}; png and JSON file are of two versions: make both again, or "
            "accept them as panopticapi does, with strict=False (on command lines --lenient)"
        )


def counted_segments(ids: np.ndarray, segments: Segments) -> list[dict[str, Any]]:
    """``segments_info`` with areas and boxes as the map has them; segments without pixels are left out.

    Args:
        ids: ``(H, W)`` map of segment ids.
        segments: ``id``, ``category_id`` and what else is to be kept.

    Returns:
        The segments with ``area`` in pixels, ``bbox`` (x, y, width, height in pixels) and ``iscrowd``.

    Example:
        >>> counted_segments(np.array([[0, 7], [7, 7]]), [{"id": 7, "category_id": 1}])
        [{'id': 7, 'category_id': 1, 'iscrowd': 0, 'area': 3, 'bbox': [0, 0, 2, 2]}]
    """
    numbers, areas = segment_areas(ids)
    boxes = _boxes(ids, numbers)
    rows = {number: i for i, number in enumerate(numbers.tolist())}
    return [
        {
            **segment,
            "iscrowd": segment.get("iscrowd", 0),
            "area": int(areas[rows[segment["id"]]]),
            "bbox": boxes[rows[segment["id"]]].tolist(),
        }
        for segment in segments
        if segment["id"] in rows
    ]


def _boxes(ids: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Tight boxes (N, 4) x, y, width, height of ids."""
    height, width = ids.shape
    rows = np.broadcast_to(np.arange(height)[:, None], ids.shape)
    (values, first_rows), lengths = constant_runs(ids, rows)  # runs end with their row
    left = (np.cumsum(lengths) - lengths) % width
    which = np.searchsorted(numbers, values)
    low, high = np.full((2, len(numbers), 2), max(ids.shape)) * [[[1]], [[-1]]]
    np.minimum.at(low, which, np.stack([left, first_rows], axis=1))
    np.maximum.at(high, which, np.stack([left + lengths, first_rows + 1], axis=1))
    return np.concatenate([low, high - low], axis=1)
