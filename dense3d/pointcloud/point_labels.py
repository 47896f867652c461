"""Labels of the points of a batch, and what a network's scores lose by them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError
from dense3d.structures import PointDataSample

IGNORED = -1  # label of points that have no part or class


def point_labels(
    samples: Sequence[PointDataSample] | None, counts: Sequence[int], number: int, noun: str = "class"
) -> Tensor:
    """Labels of all points of a batch, cloud after cloud.

    Args:
        samples: with ``gt_point_labels``.
        counts: points of each cloud.
        number: of labels.
        noun: what they are, for messages.

    Returns:
        ``(sum of counts,)`` int64, -1 where a point has none.

    Raises:
        DataError: a cloud has not one for each point, or one that does not exist.

    Example:
        >>> sample = PointDataSample(gt_point_labels=torch.tensor([1, -1]))
        >>> point_labels([sample], [2], 2).tolist()
        [1, -1]
    """
    if samples is None or len(samples) != len(counts):
        raise DataError(f"{len(counts)} clouds came without a {noun} for their points")
    for sample, count in zip(samples, counts):
        name = sample.get("sample_id", "a cloud")
        if "gt_point_labels" not in sample or len(sample.gt_point_labels) != count:
            raise DataError(f"{name} has no {noun} for each of its {count} points")
        labels = sample.gt_point_labels
        wrong = labels[(labels < IGNORED) | (labels >= number)]
        if len(wrong):
            found = f"{name}: a point has the {noun} {int(wrong[0])}"
            raise DataError(f"{found}; the model knows 0 to {number - 1}")
    return torch.cat([sample.gt_point_labels for sample in samples])


def point_losses(log_probabilities: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The mean negative log likelihood and the accuracy in percent of the points that have a label.

    Without one, both are 0, and no gradient flows.

    Args:
        log_probabilities: ``(R, C)``.
        labels: ``(R,)``, -1 for none.

    Example:
        >>> found = point_losses(torch.tensor([[0.0, -9.0], [-9.0, 0.0]]), torch.tensor([0, -1]))
        >>> {name: value.item() for name, value in found.items()}
        {'loss': 0.0, 'accuracy': 100.0}
    """
    labelled = labels != IGNORED
    number = labelled.sum().clamp(min=1)
    right = (log_probabilities.detach().argmax(dim=1) == labels) & labelled
    loss = F.nll_loss(log_probabilities, labels, ignore_index=IGNORED, reduction="sum") / number
    return {"loss": loss, "accuracy": 100 * right.sum() / number}
