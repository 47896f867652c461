"""Matching the segments of one image: true, false and missed ones by panopticapi's rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dense3d.datasets.panoptic.id_map import VOID, constant_runs
from dense3d.errors import DataError

_ID_BITS = 24  # ids are colours of three bytes


@dataclass(frozen=True, eq=False)
class Segments:
    """The listed segments of one image, in the list's order.

    Args:
        ids: ``(S,)`` int64 in 1 .. 2^24 - 1, each once.
        classes: ``(S,)`` positions of their categories in the list of classes.
        crowd: ``(S,)`` whether they are regions of many objects; all False for predictions.
        areas: ``(S,)`` float64 pixels as stated; those of predictions are counted and may be absent (None).
    """

    ids: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray | None = None

    @classmethod
    def of(
        cls, segments: Sequence[dict[str, Any]], positions: dict[int, int], is_prediction: bool = False
    ) -> Segments:
        """Segments of ``segments_info``.

        Args:
            segments: ``id``, ``category_id`` and, for ground truth, ``area`` and perhaps ``iscrowd``.
            positions: category id -> position of its class.
            is_prediction: crowds and areas do not count.

        Raises:
            DataError: the area of a segment of the ground truth is absent, no number or not positive.
        """
        ids = np.array([s["id"] for s in segments], dtype=np.int64)
        classes = np.array([positions[s["category_id"]] for s in segments], dtype=np.int64)
        if is_prediction:
            return cls(ids, classes, np.zeros(len(ids), dtype=bool))
        faulty = [s for s in segments if not _is_area(s.get("area"))]
        if faulty:
            area = repr(faulty[0].get("area"))[:60]
            raise DataError(
                f"segment {faulty[0]['id']} has area {area}, but the evaluation needs its "
                "number of pixels; dense3d.datasets.panoptic.counted_segments counts them"
            )
        crowd = np.array([s.get("iscrowd", 0) for s in segments], dtype=bool)
        return cls(ids, classes, crowd, np.array([s["area"] for s in segments], dtype=np.float64))


def _is_area(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


@dataclass(frozen=True, eq=False)
class ImageMatch:
    """What was found of one image, or of several one after another; classes are positions.

    Args:
        found: ``(T,)`` classes of the true positives.
        ious: ``(T,)`` float64, their overlaps.
        false: ``(F,)`` classes of the false positives.
        missed: ``(M,)`` classes of the false negatives.
    """

    found: np.ndarray
    ious: np.ndarray
    false: np.ndarray
    missed: np.ndarray

    @classmethod
    def joined(cls, matches: Iterable[ImageMatch]) -> ImageMatch:
        """Several images as one, in their order."""
        rows = [(m.found, m.ious, m.false, m.missed) for m in matches] or [_NOTHING]
        return cls(*(np.concatenate(column) for column in zip(*rows)))


_NOTHING = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of ids that share pixels, ascending by the true and then the predicted id.

    Args:
        true_ids, pred_ids: ``(R,)`` int64; 0 is void.
        pixels: ``(R,)`` how many they share.
    """

    true_ids: np.ndarray
    pred_ids: np.ndarray
    pixels: np.ndarray

    @classmethod
    def of(cls, true_map: np.ndarray, pred_map: np.ndarray) -> Overlaps:
        """Overlaps of two ``(H, W)`` maps of ids.

        Raises:
            DataError: they differ in size.
        """
        if true_map.shape != pred_map.shape:
            raise DataError(
                f"the predicted map has {pred_map.shape[1]} x {pred_map.shape[0]} pixels, the ground truth "
                f"{true_map.shape[1]} x {true_map.shape[0]}; predict at the size of the original image"
            )
        (true_ids, pred_ids), lengths = constant_runs(true_map, pred_map)
        keys = true_ids.astype(np.int64) << _ID_BITS | pred_ids.astype(np.int64)
        order = np.argsort(keys)
        keys, lengths = keys[order], lengths[order]
        firsts = np.flatnonzero(np.diff(keys, prepend=-1))
        keys = keys[firsts]
        return cls(keys >> _ID_BITS, keys & (1 << _ID_BITS) - 1, np.add.reduceat(lengths, firsts))

    def true_areas(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids of the true map, void included, and their numbers of pixels."""
        firsts = np.flatnonzero(np.diff(self.true_ids, prepend=-1))
        return self.true_ids[firsts], np.add.reduceat(self.pixels, firsts)


def match_segments(overlaps: Overlaps, truth: Segments, prediction: Segments) -> ImageMatch:
    """Match predicted to true segments; a pair of one class with IoU > 0.5 is a true positive.

    * The union of a pair excludes the predicted segment's pixels on void.
    * Crowd segments match nothing and are never missed.
    * A prediction without match is not false if more than half of it lies on void and on the crowd segment
      of its class; of several crowd segments of one class the last listed counts.

    Args:
        overlaps: of the two maps of ids. True ids that are not listed match nothing and are not void.
        truth, prediction: the listed segments.

    Raises:
        DataError: a predicted id is only in the map or only in the list.

    Example:
        >>> true_map = np.array([[5, 5, 5, 9]])
        >>> truth = Segments(np.array([5, 9]), np.array([0, 1]), np.zeros(2, bool), np.array([3, 1]))
        >>> pred_map = np.array([[1, 1, 2, 2]])
        >>> prediction = Segments(np.array([1, 2]), np.array([0, 1]), np.zeros(2, bool))
        >>> match = match_segments(Overlaps.of(true_map, pred_map), truth, prediction)
        >>> match.found, match.ious.round(3), match.false, match.missed
        (array([0]), array([0.667]), array([1]), array([1]))
    """
    true_ids, pred_ids, pixels = overlaps.true_ids, overlaps.pred_ids, overlaps.pixels
    g, p = _rows(truth.ids, true_ids), _rows(prediction.ids, pred_ids)  # (R,), -1 where not listed
    areas = _pred_areas(prediction, pred_ids, p, pixels)  # (P,)
    on_void = np.zeros(len(areas), dtype=np.int64)
    at_void = (true_ids == VOID) & (p >= 0)
    on_void[p[at_void]] = pixels[at_void]

    candidates = (g >= 0) & (p >= 0)
    g, p, pixels = g[candidates], p[candidates], pixels[candidates]
    comparable = (truth.classes[g] == prediction.classes[p]) & ~truth.crowd[g]
    unions = areas[p] + truth.areas[g] - pixels - on_void[p]
    ious = pixels / np.where(comparable, unions, 1)
    hit = comparable & (ious > 0.5)

    missed = ~truth.crowd
    missed[g[hit]] = False
    false = on_void + _on_crowd(truth, prediction, g, p, pixels) <= 0.5 * areas
    false[p[hit]] = False
    return ImageMatch(truth.classes[g[hit]], ious[hit], prediction.classes[false], truth.classes[missed])


def _rows(listed: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Position of each id in the list, -1 for those that are not in it."""
    if not len(listed):
        return np.full(len(ids), -1)
    order = np.argsort(listed)
    place = np.minimum(np.searchsorted(listed, ids, sorter=order), len(listed) - 1)
    rows = order[place]
    return np.where(listed[rows] == ids, rows, -1)


def _pred_areas(
    prediction: Segments, pred_ids: np.ndarray, rows: np.ndarray, pixels: np.ndarray
) -> np.ndarray:
    """Pixels (P,) of the predicted segments."""
    stray = (rows < 0) & (pred_ids != VOID)
    if stray.any():
        number = pred_ids[stray][0]
        area = pixels[pred_ids == number].sum()
        raise DataError(
            f"segment {number} ({area} pixels of the predicted png) is not in the prediction's "
            "segments_info; write both from one result"
        )
    areas = np.bincount(rows[rows >= 0], pixels[rows >= 0], len(prediction.ids)).astype(np.int64)
    if not areas.all():
        number = prediction.ids[areas == 0][0]
        raise DataError(
            f"segment {number} of the prediction's segments_info has no pixel in the predicted png; "
            "leave empty segments out"
        )
    return areas


def _on_crowd(
    truth: Segments, prediction: Segments, g: np.ndarray, p: np.ndarray, pixels: np.ndarray
) -> np.ndarray:
    """Pixels (P,) that predicted segments share with the last crowd segment of their class."""
    crowds = np.flatnonzero(truth.crowd)
    shared = np.zeros(len(prediction.ids), dtype=np.int64)
    if len(crowds):
        last = {int(truth.classes[i]): int(i) for i in crowds}
        of_pred = np.array([last.get(c, -1) for c in prediction.classes.tolist()], dtype=np.int64)
        own = g == of_pred[p]
        shared[p[own]] = pixels[own]
    return shared
