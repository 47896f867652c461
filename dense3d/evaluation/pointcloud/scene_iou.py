"""Intersection over union of the classes of points in scenes, as ScanNet and S3DIS are evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from dense3d.errors import ConfigError, DataError
from dense3d.registry import METRICS


def point_confusion(predicted: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """How often each class was taken for each.

    Args:
        predicted: ``(N,)`` classes.
        truth: ``(N,)`` classes, negative where a point has none and does not count.
        num_classes: C.

    Returns:
        ``(C, C)`` int64, rows by the true class.

    Raises:
        DataError: a class is none of 0 to C - 1, or the numbers of points differ.

    Example:
        >>> point_confusion(np.array([0, 1, 1]), np.array([0, 0, -1]), 2).tolist()
        [[1, 1], [0, 0]]
    """
    if predicted.shape != truth.shape:
        raise DataError(f"there are {len(predicted)} predictions for {len(truth)} labels")
    predicted, truth = predicted[truth >= 0], truth[truth >= 0]
    for name, classes in (("label", truth), ("prediction", predicted)):
        if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
            wrong = classes[(classes < 0) | (classes >= num_classes)][0]
            raise DataError(f"a point has the {name} {wrong}; there are classes 0 to {num_classes - 1}")
    counts = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def scene_scores(confusion: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Figures of a confusion matrix ``(C, C)``, in percent.

    Returns:
        ``miou``, over the classes that truth or prediction have, as in ScanNet's script;
        ``class_accuracy``, over the classes that occur; ``accuracy`` of all points; ``iou/NAME`` of each
        class, NaN where neither truth nor prediction have it.

    Raises:
        DataError: there is no labelled point.

    Example:
        >>> round(scene_scores(np.array([[1, 0, 0], [1, 2, 0], [0, 0, 0]]), "abc")["miou"], 2)  # 1/2 and 2/3
        58.33
    """
    right, seen = np.diag(confusion), confusion.sum(axis=1)
    if not seen.any():
        raise DataError("there is no labelled point to evaluate")
    union = seen + confusion.sum(axis=0) - right
    with np.errstate(invalid="ignore"):
        iou = right / union
    figures = {
        "miou": iou[union > 0].mean(),
        "class_accuracy": (right[seen > 0] / seen[seen > 0]).mean(),
        "accuracy": right.sum() / seen.sum(),
        **{f"iou/{name}": value for name, value in zip(names, iou)},
    }
    return {name: 100.0 * float(value) for name, value in figures.items()}


@METRICS.register_module()
class SceneIoU(BaseMetric):
    """IoU of classes over the points of all scenes together, in percent: see :func:`scene_scores`.

    Args:
        by_class: report ``iou/NAME`` of each class, too.
        collect_device, prefix: see mmengine's ``BaseMetric``.

    Raises:
        ConfigError: the data set does not name its classes.
        DataError: a scene has no labels, or one that is no class.
    """

    default_prefix = "scene"

    def __init__(self, by_class: bool = True, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device, prefix)
        self.by_class = by_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the points of a batch."""
        for sample in data_samples:
            if "gt_point_labels" not in sample:
                raise DataError(f"{sample.get('sample_id', 'a scene')} has no labels to compare with")
            pair = (sample[f"{kind}_point_labels"].cpu().numpy() for kind in ("pred", "gt"))
            self.results.append(point_confusion(*pair, len(self._names())))

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Figures of all scenes."""
        if not results:
            raise DataError("there is no scene to evaluate: the data set is empty")
        figures = scene_scores(np.sum(results, axis=0), self._names())
        return {k: v for k, v in figures.items() if self.by_class or not k.startswith("iou/")}

    def _names(self) -> Sequence[str]:
        names = (self.dataset_meta or {}).get("classes")
        if not names:
            raise ConfigError("SceneIoU needs a data set that names its classes")
        return names
