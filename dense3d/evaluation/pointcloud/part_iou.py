"""Intersection over union of parts, by shape and by category, as ShapeNetPart is evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from dense3d.errors import ConfigError, DataError
from dense3d.registry import METRICS


@dataclass(frozen=True)
class ShapeScore:
    """What is counted of one shape.

    Attributes:
        category: name.
        iou: mean over the category's parts; a part that neither prediction nor truth has counts 1.
        right, seen: points of each of the category's parts that are right, and that there are.
    """

    category: str
    iou: float
    right: np.ndarray
    seen: np.ndarray


def restricted_labels(scores: np.ndarray, parts: Sequence[int]) -> np.ndarray:
    """The best of a category's parts for each point.

    Args:
        scores: ``(N, P)``.
        parts: numbers of the category's parts.

    Example:
        >>> restricted_labels(np.array([[9.0, 1.0, 2.0]]), [1, 2]).tolist()
        [2]
    """
    return np.asarray(parts)[scores[:, list(parts)].argmax(axis=1)]


def shape_score(predicted: np.ndarray, truth: np.ndarray, category: str, parts: Sequence[int]) -> ShapeScore:
    """Count one shape.

    Args:
        predicted, truth: ``(N,)`` parts.
        category: name of its category.
        parts: numbers of the category's parts.

    Example:
        >>> shape_score(np.array([0, 0, 1]), np.array([0, 1, 1]), "Mug", [0, 1, 2]).iou  # 1/2, 1/2 and 1
        0.6666666666666666
    """
    parts = np.asarray(parts)[:, None]
    mine, theirs = predicted == parts, truth == parts  # (P, N)
    union = (mine | theirs).sum(axis=1)
    both = (mine & theirs).sum(axis=1)
    iou = np.where(union == 0, 1.0, both / np.maximum(union, 1))
    return ShapeScore(category, float(iou.mean()), both, theirs.sum(axis=1))


def part_scores(shapes: Sequence[ShapeScore]) -> dict[str, float]:
    """Figures of all shapes, in percent.

    Returns:
        ``instance_miou``, mean over shapes; ``class_miou``, mean over the categories that occur;
        ``accuracy``, of all points; ``part_accuracy``, mean over the parts that occur; and ``iou/NAME`` of
        each category.

    Raises:
        DataError: there is no shape.
    """
    if not shapes:
        raise DataError("there is no shape to evaluate: the data set is empty")
    by_category: dict[str, list[ShapeScore]] = {}
    for shape in shapes:
        by_category.setdefault(shape.category, []).append(shape)
    means = {name: float(np.mean([s.iou for s in group])) for name, group in sorted(by_category.items())}
    right = np.concatenate([sum(s.right for s in group) for group in by_category.values()])
    seen = np.concatenate([sum(s.seen for s in group) for group in by_category.values()])
    figures = {
        "instance_miou": np.mean([shape.iou for shape in shapes]),
        "class_miou": np.mean(list(means.values())),
        "accuracy": right.sum() / max(seen.sum(), 1),
        "part_accuracy": (right[seen > 0] / seen[seen > 0]).mean() if seen.any() else 0.0,
    }
    figures |= {f"iou/{name}": value for name, value in means.items()}
    return {name: 100.0 * float(value) for name, value in figures.items()}


@METRICS.register_module()
class PartIoU(BaseMetric):
    """IoU of parts in percent: the mean over shapes (instance mIoU) and over categories (class mIoU).

    Predictions are restricted to the parts of the shape's category, which is that of the true label of its
    first labelled point, as ShapeNetPart is evaluated. Points whose label is -1 do not count.

    Args:
        category_parts: name of each category -> numbers of its parts; the data set's ``parts`` unless given.
        collect_device, prefix: see mmengine's ``BaseMetric``.

    Raises:
        ConfigError: nothing tells the parts of the categories.
        DataError: a label is no part of a category.
    """

    default_prefix = "part"

    def __init__(
        self,
        category_parts: Mapping[str, Sequence[int]] | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.category_parts = category_parts

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the shapes of a batch."""
        parts = self.category_parts or (self.dataset_meta or {}).get("parts")
        if not parts:
            raise ConfigError("PartIoU needs category_parts: neither it nor the data set names the parts")
        for sample in data_samples:
            truth = np.asarray(sample["gt_point_labels"].cpu())
            scores = np.asarray(sample["pred_point_scores"].float().cpu())
            scores, truth = scores[truth >= 0], truth[truth >= 0]
            name = _category_of(truth, parts, sample)
            predicted = restricted_labels(scores, parts[name])
            self.results.append(shape_score(predicted, truth, name, parts[name]))

    def compute_metrics(self, results: list[ShapeScore]) -> dict[str, float]:
        """Figures of all shapes."""
        return part_scores(results)


def _category_of(truth: np.ndarray, parts: Mapping[str, Sequence[int]], sample: Mapping) -> str:
    place = sample.get("sample_id", "a shape")
    if not len(truth):
        raise DataError(f"{place} has no labelled point to compare with")
    name = next((name for name, numbers in parts.items() if truth[0] in numbers), None)
    if name is None:
        raise DataError(f"{place}: its label {truth[0]} is a part of no category")
    return name
