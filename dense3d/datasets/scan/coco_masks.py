"""The rules on polygons and run lengths: pycocotools hangs or crashes on bad ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from dense3d.datasets.scan.schema import shortened

CHUNK = 20_000  # annotations whose vertices are looked at at once
REMEDIES = {
    "polygon-format": "a polygon is a list of at least three x, y pairs",
    "polygon-not-finite": "correct or remove it",
    "polygon-outside": "coordinates are in pixels of the image; correct or remove it",
    "rle-format": "write the mask again",
    "rle-size": "run lengths are of a mask of the image's size, [height, width]",
    "rle-counts": "write the mask again",
}
Wrong = tuple[int, str, str]  # index of the annotation, rule, value


def tidy_masks(annotations: list[dict[str, Any]]) -> None:
    """Write masks as pycocotools knows them, in place: no mask as [], a bare polygon as a list of one."""
    for annotation in annotations:
        mask = annotation.get("segmentation")
        if isinstance(mask, dict):
            _tidy_run_lengths(mask)
        elif not mask:
            annotation["segmentation"] = []
        elif not isinstance(mask[0], list):
            if not any(isinstance(part, list) for part in mask):
                annotation["segmentation"] = [mask]
        elif not all(mask):
            annotation["segmentation"] = [part for part in mask if part != []]


def wrong_masks(annotations: list[dict[str, Any]], sizes: np.ndarray) -> Iterator[Wrong]:
    """Masks that are not what they should be.

    Args:
        annotations: after :func:`tidy_masks`.
        sizes: ``(A, 2)`` width and height of their images in pixels; infinite where unknown.

    Yields:
        Index, rule and value of each, in no order.
    """
    for start in range(0, len(annotations), CHUNK):
        part = annotations[start : start + CHUNK]
        for index, rule, value in _wrong_polygons(part, sizes[start : start + CHUNK]):
            yield start + index, rule, value
        for index, annotation in enumerate(part):
            if isinstance(annotation["segmentation"], dict):
                found = _wrong_run_lengths(annotation["segmentation"], *sizes[start + index])
                if found:
                    yield start + index, *found


def _wrong_polygons(annotations: list[dict[str, Any]], sizes: np.ndarray) -> Iterator[Wrong]:
    owners, parts = [], []
    for index, annotation in enumerate(annotations):
        mask = annotation["segmentation"]
        if not mask or isinstance(mask, dict):
            continue
        if any(not isinstance(part, list) or len(part) < 6 or len(part) % 2 for part in mask):
            yield index, "polygon-format", f"segmentation is {shortened(mask)}"
            continue
        owners += [index] * len(mask)
        parts += mask
    if not parts:
        return
    points, starts = _joined(parts)
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    limits = sizes[owners]
    finite = np.isfinite(low + high).all(1)
    near = ((low >= -limits) & (high <= 2 * limits)).all(1)
    seen = set()
    for k in np.flatnonzero(~finite | ~near):
        if owners[k] not in seen:
            seen.add(owners[k])
            if not finite[k]:
                value = (
                    f"a vertex of a polygon is {shortened(next(v for v in parts[k] if not np.isfinite(v)))}"
                )
                yield owners[k], "polygon-not-finite", value
            else:
                (x0, y0), (x1, y1), (w, h) = low[k], high[k], limits[k]
                value = (
                    f"a polygon spans {x0:g}..{x1:g} by {y0:g}..{y1:g}, the image has {w:g} x {h:g} pixels"
                )
                yield owners[k], "polygon-outside", value


def _tidy_run_lengths(mask: dict[str, Any]) -> None:
    for key in ("size", "counts"):
        numbers = mask[key]
        if isinstance(numbers, list) and any(isinstance(number, float) for number in numbers):
            mask[key] = [int(n) if isinstance(n, float) and n.is_integer() else n for n in numbers]


def _wrong_run_lengths(mask: dict[str, Any], width: float, height: float) -> tuple[str, str] | None:
    size, counts = mask["size"], mask["counts"]
    if len(size) != 2 or not all(isinstance(side, int) and 0 < side < 2**31 for side in size):
        return "rle-format", f"the size of its run lengths is {shortened(size)}, not height and width"
    if np.isfinite(width) and size != [height, width]:
        value = f"its run lengths are of {size[0]} x {size[1]} pixels (height x width)"
        return "rle-size", f"{value}, its image of {height:g} x {width:g}"
    runs = runs_of(counts)
    if runs is None:
        return "rle-format", f"counts is {shortened(counts)}, no run lengths"
    if min(runs, default=0) < 0:
        return "rle-counts", f"one of its run lengths is {shortened(min(runs))}"
    if sum(runs) != size[0] * size[1]:
        value = f"its run lengths add up to {shortened(sum(runs))} pixels, its size to {size[0] * size[1]}"
        return "rle-counts", value
    return None


def runs_of(counts: list[int] | str) -> list[int] | None:
    """Lengths of runs, of zeros first; decodes pycocotools' text. None if they are none.

    The text has six bits a character from "0" on: five of a number, the lowest first and signed, and one that
    says that more follow. From the fourth on a number is the difference to the one two before.

    Example:
        >>> runs_of("52203")
        [5, 2, 2, 2, 5]
    """
    if isinstance(counts, list):
        return counts if all(isinstance(run, int) for run in counts) else None
    codes = np.array([ord(character) - 48 for character in counts], dtype=np.int64)
    if not len(codes):
        return []
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    last = np.flatnonzero(codes & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first).max() > 6:  # more than 35 bits
        return None
    place = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    numbers = np.add.reduceat((codes & 31) << (5 * place), first)
    numbers -= np.where(codes[last] & 16, 1 << (5 * (last - first + 1)), 0)
    for offset in (1, 2):
        numbers[offset::2] = np.cumsum(numbers[offset::2])
    return numbers.tolist()


def mask_areas(masks: list[list | dict]) -> np.ndarray:
    """Pixels of run lengths, or the areas that polygons enclose, as COCO counts them; 0 without a mask.

    Args:
        masks: M sound ones.

    Returns:
        ``(M,)`` square pixels.
    """
    areas = np.zeros(len(masks))
    for start in range(0, len(masks), CHUNK):
        owners, parts = [], []
        for index, mask in enumerate(masks[start : start + CHUNK], start):
            if isinstance(mask, dict):
                areas[index] = sum(runs_of(mask["counts"])[1::2])
            else:
                owners += [index] * len(mask)
                parts += mask
        if parts:
            np.add.at(areas, owners, _enclosed(*_joined(parts)))
    return areas


def _joined(parts: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """All vertices of P polygons, ``(V, 2)`` x and y, and where each polygon begins, ``(P,)``."""
    lengths = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
    flat = np.fromiter(chain.from_iterable(parts), dtype=np.float64, count=int(lengths.sum()))
    return flat.reshape(-1, 2), np.concatenate([[0], np.cumsum(lengths)[:-1]]) // 2


def _enclosed(points: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Areas (P,) by the shoelace formula."""
    following = np.roll(points, -1, axis=0)
    ends = np.append(starts[1:], len(points)) - 1
    following[ends] = points[starts]
    products = points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]
    return abs(np.add.reduceat(products, starts)) / 2


def mask_box(mask: list | dict) -> list[float] | None:
    """``[x, y, width, height]`` around polygons or run lengths; None if there is nothing."""
    if isinstance(mask, dict):
        height, ends = mask["size"][0], np.cumsum(runs_of(mask["counts"]))
        starts, ends = ends[::2][: len(ends[1::2])], ends[1::2]  # pixels count down the columns
        starts, ends = starts[ends > starts], ends[ends > starts]
        if not len(starts):
            return None
        x0, x1 = starts[0] // height, (ends[-1] - 1) // height + 1
        within = (starts // height == (ends - 1) // height).all()
        y0 = (starts % height).min() if within else 0
        y1 = ((ends - 1) % height).max() + 1 if within else height
        return [float(v) for v in (x0, y0, x1 - x0, y1 - y0)]
    points = np.array([v for part in mask for v in part], dtype=float).reshape(-1, 2)
    if not len(points):
        return None
    low, high = points.min(0), points.max(0)
    return [*low.tolist(), *(high - low).tolist()]
