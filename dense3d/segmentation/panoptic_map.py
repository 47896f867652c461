"""Panoptic results: a map of segment ids with a list of segments, and mmdet's coding of both in one map."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

# mmdet: id of a pixel = class + INSTANCE_OFFSET * number of the thing; the number of classes is void.
INSTANCE_OFFSET = 1000


@dataclass(frozen=True)
class PanopticSegment:
    """One segment of a panoptic result; ids start at 1, 0 is void."""

    id: int
    category: int
    isthing: bool


class PanopticMap:
    """A map to which segments are added one after the other; regions of one stuff class share an id.

    Args:
        shape: ``(H, W)``.
        thing_classes: classes whose segments are separate.
        device: of the map.

    Attributes:
        ids: ``(H, W)`` int32, 0 is void.
        segments: those added, by id.

    Example:
        >>> panoptic = PanopticMap((1, 4), thing_classes={0})
        >>> for category, place in ((7, 0), (0, 1), (7, 2)):
        ...     panoptic.add(category, torch.arange(4)[None] == place)
        >>> panoptic.ids.tolist(), [s.category for s in panoptic.segments]
        ([[1, 2, 1, 0]], [7, 0])
    """

    def __init__(
        self, shape: tuple[int, int], thing_classes: Collection[int], device: torch.device | None = None
    ) -> None:
        self.ids = torch.zeros(shape, dtype=torch.int32, device=device)
        self.segments: list[PanopticSegment] = []
        self._things = frozenset(thing_classes)
        self._stuff_ids: dict[int, int] = {}

    def add(self, category: int, mask: Tensor) -> None:
        """Give the pixels of ``mask`` ``(H, W)`` to a new segment, or to the one of the same stuff."""
        isthing = category in self._things
        number = self._stuff_ids.get(category)
        if isthing or number is None:
            number = len(self.segments) + 1
            self.segments.append(PanopticSegment(number, category, isthing))
            if not isthing:
                self._stuff_ids[category] = number
        self.ids[mask] = number

    def encoded(self, num_classes: int) -> PixelData:
        """mmdet's ``pred_panoptic_seg``: ``sem_seg`` ``(1, H, W)``."""
        codes = [num_classes] + [s.category + INSTANCE_OFFSET * s.id * s.isthing for s in self.segments]
        table = torch.tensor(codes, dtype=torch.int32, device=self.ids.device)
        return PixelData(sem_seg=table[self.ids.long()][None])


def top_instances(
    logits: Tensor,
    probabilities: Tensor,
    masks: Tensor,
    number: int,
    classes: Collection[int] | None = None,
) -> InstanceData:
    """The best pairs of query and class, each with the query's mask; one query may appear several times.

    The score is the probability of the class times the mean probability inside the mask. The pairs are taken
    by class probability, before that mean, as in MaskFormer and its descendants.

    Args:
        logits: ``(N, K + 1)``, the last is void.
        probabilities: ``(N, H, W)`` of the masks, in [0, 1].
        masks: ``(N, H, W)`` bool.
        number: of pairs.
        classes: pairs of other classes are left out, after the choice.

    Returns:
        ``scores``, ``labels`` ``(n,)``, ``masks`` ``(n, H, W)`` bool and ``bboxes`` ``(n, 4)`` xyxy around
        the masks, the best first.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0, 0.0]])
        >>> probabilities = torch.tensor([[[0.9, 0.1]]])
        >>> found = top_instances(logits, probabilities, probabilities > 0.5, 1)
        >>> found.labels.tolist(), found.masks.tolist(), found.bboxes.tolist()
        ([0], [[[True, False]]], [[0.0, 0.0, 1.0, 1.0]])
    """
    num_classes = logits.shape[1] - 1
    scores = logits.float().softmax(-1)[:, :-1].flatten()
    scores, index = scores.topk(min(number, len(scores)))
    query, label = index // num_classes, index % num_classes
    if classes is not None:
        kept = torch.isin(label, torch.tensor(sorted(classes), device=label.device))
        scores, query, label = scores[kept], query[kept], label[kept]
    area = masks.sum((1, 2))
    quality = (probabilities * masks).sum((1, 2)) / (area + 1e-6)
    scores, order = (scores * quality[query]).sort(descending=True, stable=True)
    query, label = query[order], label[order]
    return InstanceData(bboxes=mask_boxes(masks)[query], scores=scores, labels=label, masks=masks[query])


def semantic_scores(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Scores ``(K, H, W)`` of the classes: masks weighted by class probabilities.

    Args:
        logits: ``(N, K + 1)``, the last is void.
        probabilities: ``(N, H, W)`` in [0, 1].
    """
    return torch.einsum("nk,nhw->khw", logits.float().softmax(-1)[:, :-1], probabilities)


def mask_boxes(masks: Tensor) -> Tensor:
    """Boxes xyxy ``(n, 4)`` around masks ``(n, H, W)``, borders of pixels included; zeros for empty masks.

    Example:
        >>> mask_boxes(torch.tensor([[[0, 1, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]) > 0).tolist()
        [[1.0, 0.0, 3.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    boxes = []
    for axis in (1, 2):  # columns, then rows
        filled = masks.any(axis)  # (n, W) or (n, H)
        size = filled.shape[1]
        first = filled.int().argmax(1)
        last = size - filled.flip(1).int().argmax(1)
        some = filled.any(1)
        boxes += [first * some, last * some]
    left, right, top, bottom = boxes
    return torch.stack((left, top, right, bottom), dim=1).float()
