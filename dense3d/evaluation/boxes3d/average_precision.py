"""Average precision and recall of 3D boxes, as the evaluators of VoteNet and 3DETR count.

Per class over all scenes, detections by falling score: each takes the ground truth that it overlaps most, is
right if that overlap is **above** the threshold and the ground truth free, and has no second choice. So the
first detection that takes a ground truth has it, and nothing is left to be done one by one. The area under
the curve is that of all points (Everingham et al., "The PASCAL VOC challenge", 2010 on).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dense3d.evaluation.boxes3d.scene_boxes import SceneBoxes
from dense3d.ops import box_iou_3d

PAIRS_AT_ONCE = 2_000_000  # bounds the memory
NONE = -1


@dataclass(frozen=True, eq=False)
class Matches:
    """The ground truth that each detection overlaps most, of its own scene and class.

    Args:
        truth: (N,) row of the ground truth, -1 where its scene has none of its class.
        overlap: (N,) IoU with it; 0 where there is none.
    """

    truth: np.ndarray
    overlap: np.ndarray


def match(truth: SceneBoxes, predictions: SceneBoxes) -> Matches:
    """Find the best ground truth of every detection; the first of equally good ones.

    Negative sizes, which VoteNet's regression can give, count as in the official evaluators: a length or a
    width as a positive one, a height as none.

    Args:
        truth, predictions: of the same scenes and classes, in the same order.
    """
    classes = len(truth.classes)
    truth_key = truth.scene * classes + truth.labels  # a group is a class within a scene
    order = np.argsort(truth_key, kind="stable")
    key = predictions.scene * classes + predictions.labels
    first = np.searchsorted(truth_key[order], key, side="left")
    counts = np.searchsorted(truth_key[order], key, side="right") - first
    best, overlap = np.full(len(key), NONE), np.zeros(len(key))
    rows = np.flatnonzero(counts)
    ends = counts[rows].cumsum()
    cuts = np.searchsorted(ends, np.arange(PAIRS_AT_ONCE, ends[-1] if len(ends) else 0, PAIRS_AT_ONCE))
    for part in np.split(rows, cuts):
        if len(part):
            best[part], overlap[part] = _best(truth, predictions, part, first[part], counts[part], order)
    return Matches(best, overlap)


def _best(
    truth: SceneBoxes,
    predictions: SceneBoxes,
    rows: np.ndarray,
    first: np.ndarray,
    counts: np.ndarray,
    order: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Row and IoU of the best ground truth of some detections, each with at least one candidate."""
    starts = counts.cumsum() - counts
    within = np.arange(counts.sum()) - np.repeat(starts, counts)
    candidates = order[np.repeat(first, counts) + within]  # (pairs,)
    detected = torch.from_numpy(predictions.boxes[np.repeat(rows, counts)])
    detected[:, 3:5].abs_()
    detected[:, 5].clamp_(min=0)
    overlaps = box_iou_3d(detected, torch.from_numpy(truth.boxes[candidates]), aligned=True).numpy()
    greatest = np.maximum.reduceat(overlaps, starts)
    place = np.where(overlaps == np.repeat(greatest, counts), within, counts.max())
    return candidates[starts + np.minimum.reduceat(place, starts)], greatest


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """What is counted of each class at each threshold.

    Args:
        average_precision, recall: (T, C) in 0..1; NaN of classes that neither ground truth nor predictions
            have, 0 of those that only one of them has.
        ground_truths, detections: (C,) how many there are.
    """

    average_precision: np.ndarray
    recall: np.ndarray
    ground_truths: np.ndarray
    detections: np.ndarray


def evaluate_classes(truth: SceneBoxes, predictions: SceneBoxes, thresholds: Sequence[float]) -> ClassFigures:
    """Average precision and final recall of every class.

    Args:
        truth: with C classes.
        predictions: with scores, of the same scenes and classes; equal scores stay in their order.
        thresholds: T IoUs that a match has to exceed.

    Example:
        >>> room = {"boxes": [[0, 0, 0, 1, 1, 1, 0], [3, 0, 0, 1, 1, 1, 0]], "labels": [0, 0]}
        >>> found = {"boxes": [[0.1, 0, 0, 1, 1, 1, 0]], "labels": [0], "scores": [0.9]}
        >>> truth, found = (SceneBoxes.of({"room": one}, ["chair"]) for one in (room, found))
        >>> figures = evaluate_classes(truth, found, [0.25, 0.9])
        >>> figures.average_precision.tolist(), figures.recall.tolist()
        ([[0.5], [0.0]], [[0.5], [0.0]])
    """
    classes = len(truth.classes)
    matches = match(truth, predictions)
    wanted = np.bincount(truth.labels, minlength=classes)
    there = np.bincount(predictions.labels, minlength=classes)
    order = np.lexsort((-predictions.scores, predictions.labels))  # by class, then by falling score
    parts = np.split(order, there.cumsum()[:-1])
    precision = np.full((len(thresholds), classes), np.nan)
    recall = precision.copy()
    for t, threshold in enumerate(thresholds):
        for c, rows in enumerate(parts):
            if wanted[c] or there[c]:
                right = first_takers(matches.truth[rows], matches.overlap[rows] > threshold)
                precision[t, c], recall[t, c] = average_precision(right, int(wanted[c]))
    return ClassFigures(precision, recall, wanted, there)


def first_takers(taken: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """(N,) bool: the first allowed detection of every ground truth that one takes.

    Example:
        >>> first_takers(np.array([4, 4, 7, 4]), np.array([False, True, True, True])).tolist()
        [False, True, True, False]
    """
    rows = np.flatnonzero(allowed)
    right = np.zeros(len(taken), dtype=bool)
    right[rows[np.unique(taken[rows], return_index=True)[1]]] = True
    return right


def average_precision(right: np.ndarray, wanted: int) -> tuple[float, float]:
    """Area under the precision's envelope over recall, and the final recall.

    Args:
        right: (N,) bool, by falling score.
        wanted: how many ground truths there are; with none both figures are 0.

    Example:
        >>> average_precision(np.array([True, False, True]), 2)
        (0.8333333333333333, 1.0)
    """
    if not len(right) or not wanted:
        return 0.0, 0.0
    hits = right.cumsum()
    precision = hits / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / wanted), float(hits[-1] / wanted)
