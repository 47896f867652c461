"""Customised positive queries: decoder queries at what an auxiliary head took for an object.

Zong et al., ICCV 2023 (arXiv 2211.12860), section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from torch import Tensor

FEWEST = 9  # queries of an image, as in the official code


@dataclass
class Assignment:
    """What an auxiliary head's candidates, anchors or proposals, stand for in one image.

    Attributes:
        candidates: ``(N, 4)`` XYXY in pixels.
        labels: class of each ``(N,)``; the number of classes for background.
        targets: box of its object ``(N, 4)`` XYXY in pixels; anything for background.
    """

    candidates: Tensor
    labels: Tensor
    targets: Tensor


@dataclass
class PositiveQueries:
    """Queries of a batch; boxes are CXCYWH in fractions of the image.

    Attributes:
        boxes: where the queries start ``(B, Q, 4)``.
        labels: their classes ``(B, Q)``; the number of classes for background.
        label_weights: 0 where an image has too few candidates to fill its row, else 1 ``(B, Q)``.
        targets: boxes to learn ``(B, Q, 4)``.
        positive: whether there is an object ``(B, Q)``.
        num_positive: their number.
    """

    boxes: Tensor
    labels: Tensor
    label_weights: Tensor
    targets: Tensor
    positive: Tensor
    num_positive: int


def positive_queries(
    assignments: Sequence[Assignment], sizes: Sequence[tuple[int, int]], num_classes: int, most: int
) -> PositiveQueries:
    """Positive candidates of each image, a random choice of ``most`` where there are more.

    Rows are as long as the image with the most positives needs, at least 9. Background candidates at random
    fill the others.

    Args:
        assignments: of each image.
        sizes: height and width of each image's content in pixels.
        num_classes: label of the background.
        most: queries of an image at most; not less than 9.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 8.0, 4.0], [4.0, 0.0, 8.0, 4.0]])
        >>> assigned = Assignment(boxes, torch.tensor([3, 1]), boxes)
        >>> queries = positive_queries([assigned], [(4, 8)], num_classes=3, most=300)
        >>> queries.boxes[0, 0].tolist(), queries.labels[0, :2].tolist(), queries.label_weights[0].sum()
        ([0.75, 0.5, 0.5, 1.0], [1, 3], tensor(2.))
    """
    with torch.no_grad():
        positives = [(a.labels < num_classes).nonzero().flatten() for a in assignments]
        length = max(FEWEST, min(most, max(len(found) for found in positives)))
        rows = [
            _row(assigned, found, size, num_classes, length)
            for assigned, found, size in zip(assignments, positives, sizes)
        ]
        count = sum(min(len(found), length) for found in positives)
        return PositiveQueries(*(torch.stack(column) for column in zip(*rows)), count)


def _row(
    assigned: Assignment, found: Tensor, size: tuple[int, int], num_classes: int, length: int
) -> tuple[Tensor, ...]:
    """The tensors of :class:`PositiveQueries` for one image."""
    background = (assigned.labels == num_classes).nonzero().flatten()
    if len(found) > length:
        found = _choice(found, length)
    chosen = torch.cat([found, _choice(background, length - len(found))])
    scale = assigned.candidates.new_tensor([size[1], size[0]]).repeat(2)
    row = torch.arange(length, device=found.device)
    positive, filled = row < len(found), row < len(chosen)

    boxes = assigned.candidates.new_tensor([0.5, 0.5, 1.0, 1.0]).repeat(length, 1)
    boxes[filled] = bbox_xyxy_to_cxcywh(assigned.candidates[chosen] / scale)
    labels = assigned.labels.new_full((length,), num_classes)
    labels[positive] = assigned.labels[found]
    targets = torch.zeros_like(boxes)
    targets[positive] = bbox_xyxy_to_cxcywh(assigned.targets[found].to(boxes) / scale)
    return boxes, labels, filled.to(boxes), targets, positive


def _choice(indices: Tensor, count: int) -> Tensor:
    return indices[torch.randperm(len(indices), device=indices.device)[:count]]
