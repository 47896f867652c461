"""Accuracy of classified clouds: overall, over classes, and by voting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from torch import Tensor

from dense3d.errors import DataError
from dense3d.registry import METRICS


def accuracies(predicted: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Share of all clouds that are right, and the mean of that share over the classes that occur, in percent.

    Args:
        predicted, labels: ``(N,)`` classes.

    Raises:
        DataError: there is no cloud.

    Example:
        >>> accuracies(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2]))
        (75.0, 50.0)
    """
    if not len(labels):
        raise DataError("there is no cloud to evaluate: the data set is empty")
    right = predicted == labels
    by_class = [right[labels == label].mean() for label in np.unique(labels)]
    return 100.0 * float(right.mean()), 100.0 * float(np.mean(by_class))


def vote(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Mean logits over rounds, and the classes that these give; logits are averaged, not probabilities.

    Args:
        logits: ``(R, B, C)``.

    Returns:
        ``(B, C)`` and ``(B,)``.

    Example:
        >>> import torch
        >>> vote(torch.tensor([[[2.0, 0.0]], [[0.0, 3.0]]]))[1].tolist()
        [1]
    """
    mean = logits.mean(dim=0)
    return mean, mean.argmax(dim=1)


@METRICS.register_module()
class PointClassification(BaseMetric):
    """Accuracy of classified clouds in percent.

    ``overall_accuracy`` and ``class_accuracy`` are of a single pass. Where the model votes
    (``PointClassifier(voting=...)``), ``voting_accuracy`` is the mean over its repeats. Point-MAE's published
    voting results are the *maximum* over 299 repeats, chosen on the test set: ``official_maximum=True`` adds
    it as ``voting_maximum``.

    Args:
        official_maximum: see above.
        collect_device, prefix: see mmengine's ``BaseMetric``.

    Raises:
        DataError: a cloud has no label, or the maximum is asked for and the model does not vote.
    """

    default_prefix = "point"

    def __init__(
        self, official_maximum: bool = False, collect_device: str = "cpu", prefix: str | None = None
    ) -> None:
        super().__init__(collect_device, prefix)
        self.official_maximum = official_maximum

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the label, the prediction and the votes of each cloud."""
        for sample in data_samples:
            if "gt_label" not in sample:
                raise DataError(
                    "a cloud has no gt_label to compare with: use a data set of classified clouds"
                )
            votes = sample.get("pred_vote_logits")
            self.results.append(
                dict(
                    label=int(sample["gt_label"]),
                    predicted=int(sample["pred_label"]),
                    votes=None if votes is None else votes.argmax(dim=1).cpu().numpy(),
                )
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """The accuracies of all clouds."""
        labels = np.array([result["label"] for result in results])
        overall, by_class = accuracies(np.array([result["predicted"] for result in results]), labels)
        metrics = {"overall_accuracy": overall, "class_accuracy": by_class}
        votes = [result["votes"] for result in results]
        if all(vote is not None for vote in votes):
            right = np.stack(votes) == labels[:, None]  # (N, repeats)
            each = 100.0 * right.mean(axis=0)
            metrics["voting_accuracy"] = float(each.mean())
            if self.official_maximum:
                metrics["voting_maximum"] = float(each.max())
        elif self.official_maximum:
            raise DataError("official_maximum is of a model that votes: set model.voting=dict(repeats=299)")
        return metrics
