"""The evaluation as the official scripts walk through it: class by class, detection by detection.

It defines the figures of :mod:`dense3d.evaluation.boxes3d.average_precision`, and is what that is timed
against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from dense3d.evaluation.boxes3d.scene_boxes import SceneBoxes
from dense3d.ops import box_iou_3d

Overlap = Callable[[np.ndarray, np.ndarray], float]


def pair_iou(box: np.ndarray, other: np.ndarray) -> float:
    """IoU of two boxes (7,) by :func:`dense3d.ops.box_iou_3d`."""
    return box_iou_3d(torch.from_numpy(box[None]), torch.from_numpy(other[None])).item()


def evaluate_class(
    truth: SceneBoxes, predictions: SceneBoxes, label: int, threshold: float, overlap: Overlap = pair_iou
) -> tuple[float, float]:
    """Average precision and final recall of a class that occurs.

    Args:
        truth, predictions: of the same scenes and classes.
        label: the class.
        threshold: IoU that a match has to exceed.
        overlap: of two boxes.
    """
    wanted = {scene: [] for scene in range(len(truth.scenes))}
    for row in np.flatnonzero(truth.labels == label):
        wanted[int(truth.scene[row])].append(truth.boxes[row])
    taken = {scene: [False] * len(boxes) for scene, boxes in wanted.items()}
    count = sum(map(len, wanted.values()))
    rows = np.flatnonzero(predictions.labels == label)
    right = []
    for row in rows[np.argsort(-predictions.scores[rows], kind="stable")]:
        scene = int(predictions.scene[row])
        best, place = -np.inf, None
        for index, box in enumerate(wanted[scene]):
            iou = overlap(predictions.boxes[row], box)
            if iou > best:
                best, place = iou, index
        hit = place is not None and best > threshold and not taken[scene][place]
        if hit:
            taken[scene][place] = True
        right.append(hit)
    if not right or not count:
        return 0.0, 0.0
    hits = np.cumsum(right)
    recall, precision = hits / count, hits / np.arange(1, len(right) + 1)
    recall, precision = np.array([0.0, *recall, 1.0]), np.array([0.0, *precision, 0.0])
    for index in range(len(precision) - 2, -1, -1):
        precision[index] = max(precision[index], precision[index + 1])
    area = sum((recall[i + 1] - recall[i]) * precision[i + 1] for i in range(len(recall) - 1))
    return float(area), float(hits[-1] / count)


def evaluate_reference(
    truth: SceneBoxes, predictions: SceneBoxes, thresholds: Sequence[float], overlap: Overlap = pair_iou
) -> tuple[np.ndarray, np.ndarray]:
    """``(T, C)`` average precisions and recalls; NaN of classes that neither has."""
    shape = len(thresholds), len(truth.classes)
    precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    for c in set(truth.labels.tolist()) | set(predictions.labels.tolist()):
        for t, threshold in enumerate(thresholds):
            precision[t, c], recall[t, c] = evaluate_class(truth, predictions, c, threshold, overlap)
    return precision, recall
