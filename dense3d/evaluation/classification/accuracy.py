"""Accuracy of classified images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.classification.confusion import (
    class_accuracies,
    confusion_matrix,
    draw_confusion,
    write_confusion,
)
from dense3d.registry import METRICS

FEWEST_FOR_TOP5 = 6  # with five classes, the true one is always among the five best


@METRICS.register_module()
class ClassAccuracy(BaseMetric):
    """Accuracy of classified images in percent.

    ``top1``; ``top5``, whether the true class is among the five most probable, of six classes or more; and
    ``class_accuracy``, the mean over the classes that occur of each one's accuracy.

    Args:
        result_prefix: where to write ``PREFIX.classes.csv``, a row a class with its accuracy and what it was
            taken for, and ``PREFIX.confusion.png``; None to write nothing.
        collect_device, prefix: see mmengine's ``BaseMetric``.

    Raises:
        DataError: an image has no label, or there is no image.
    """

    default_prefix = "image"

    def __init__(
        self, result_prefix: str | None = None, collect_device: str = "cpu", prefix: str | None = None
    ) -> None:
        super().__init__(collect_device, prefix)
        self.result_prefix = result_prefix

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the label, the prediction and the place of the label among the probabilities of each image."""
        for sample in data_samples:
            if "gt_label" not in sample:
                raise DataError("an image has no gt_label to compare with: use a data set of classes")
            if "pred_scores" not in sample:
                raise ConfigError("ClassAccuracy is of classifiers, such as ImageClassifier")
            scores, label = sample["pred_scores"], int(sample["gt_label"])
            if not 0 <= label < len(scores):
                raise DataError(
                    f"an image has the label {label} and the model {len(scores)} classes: set "
                    "model.num_classes to the data's"
                )
            if not torch.isfinite(scores).all():
                raise DataError(
                    "the model gives probabilities that are not finite: its training has diverged"
                )
            best = scores.topk(min(5, len(scores))).indices.tolist()
            self.results.append(
                dict(label=label, predicted=best[0], in_top5=label in best, classes=len(scores))
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """The accuracies of all images."""
        if not results:
            raise DataError("there is no image to evaluate: the data set is empty")
        count = results[0]["classes"]
        labels, predicted = (np.array([r[key] for r in results]) for key in ("label", "predicted"))
        matrix = confusion_matrix(labels, predicted, count)
        metrics = {"top1": 100.0 * float((labels == predicted).mean())}
        if count >= FEWEST_FOR_TOP5:
            metrics["top5"] = 100.0 * float(np.mean([result["in_top5"] for result in results]))
        metrics["class_accuracy"] = float(np.nanmean(class_accuracies(matrix)))
        if self.result_prefix is not None:
            names = (self.dataset_meta or {}).get("classes") or tuple(map(str, range(count)))
            write_confusion(matrix, names, f"{self.result_prefix}.classes.csv")
            draw_confusion(matrix, names, f"{self.result_prefix}.confusion.png")
        return metrics
