"""From the maps of classes to one class a voxel, to a mask a class, and to figures against a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def threshold_level(threshold: float) -> int:
    """The map value that a class has to exceed: ``int(255 * threshold)``.

    Example:
        >>> threshold_level(0.264)
        67
    """
    return int(255 * threshold)


def resolve(
    maps: np.ndarray, thresholds: Sequence[float], class_ids: Sequence[int] | None = None
) -> np.ndarray:
    """The class of each voxel: the largest map among those above their thresholds, the first of equals.

    Args:
        maps: (C, ...) uint8 (or real) maps, 255 is certain.
        thresholds: of each class, 0 ... 1.
        class_ids: what classes are called; 1 ... C unless given.

    Returns:
        (...) of the smallest unsigned integer type that holds the ids; 0 where no class is above its
        threshold.

    Example:
        >>> resolve(np.array([[10, 200, 90], [0, 200, 100]], np.uint8), (0.2, 0.3)).tolist()
        [0, 1, 2]
    """
    maps = np.asarray(maps)
    ids = range(1, len(maps) + 1) if class_ids is None else class_ids
    kind = np.min_scalar_type(max(ids, default=0))
    labels = np.zeros(maps.shape[1:], kind)
    best = np.zeros(maps.shape[1:], maps.dtype)
    for values, threshold, class_id in zip(maps, thresholds, ids):
        taken = (values > threshold_level(threshold)) & (values > best)
        labels[taken] = class_id
        np.copyto(best, values, where=taken)
    return labels


def iso_masks(maps: np.ndarray, isovalues: Sequence[float]) -> np.ndarray:
    """One mask a class, (C, ...) bool: its map above 255 times its iso-value; masks may overlap."""
    levels = 255.0 * np.asarray(isovalues, np.float32)
    return np.asarray(maps) > levels.reshape(-1, *[1] * (np.ndim(maps) - 1))


@dataclass(frozen=True)
class Metrics:
    """Figures of a segmentation against a reference; arrays have an entry for each class, background first.

    A class without a single voxel in prediction (precision), reference (recall) or either (f1, iou) has 0.
    """

    classes: tuple[int, ...]
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    iou: np.ndarray
    accuracy: float

    @property
    def mean_iou(self) -> float:
        """Plain mean over the classes, background included, as the official evaluation."""
        return float(self.iou.mean())

    @property
    def foreground_iou(self) -> float:
        """Mean over the classes without the background; 0 without any."""
        foreground = [value for name, value in zip(self.classes, self.iou) if name != 0]
        return float(np.mean(foreground)) if foreground else 0.0


def metrics(labels: np.ndarray, prediction: np.ndarray) -> Metrics:
    """Precision, recall, F1 and intersection over union of each class that either of the two has.

    Args:
        labels: reference, integers of at least 0.
        prediction: of the same shape.

    Example:
        >>> found = metrics(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
        >>> found.iou.round(3).tolist(), found.accuracy
        ([0.5, 0.667], 0.75)
    """
    labels, prediction = np.asarray(labels).ravel(), np.asarray(prediction).ravel()
    classes, index = np.unique(np.concatenate([labels, prediction]), return_inverse=True)
    count = len(classes)
    truth, found = index[: len(labels)], index[len(labels) :]
    confusion = np.bincount(truth * count + found, minlength=count**2).reshape(count, count)
    both = confusion.diagonal().astype(np.float64)
    of_truth, of_found = confusion.sum(1), confusion.sum(0)
    return Metrics(
        tuple(int(c) for c in classes),
        _share(both, of_found),
        _share(both, of_truth),
        _share(2 * both, of_truth + of_found),
        _share(both, of_truth + of_found - both),
        float(both.sum() / max(1, len(labels))),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
