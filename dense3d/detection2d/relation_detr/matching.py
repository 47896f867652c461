"""Hungarian matching of predictions and targets, for all layers of a decoder at once.

Carion et al., "DETR", section 3.1, with the focal class cost of Deformable DETR.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_convert

EPS = 1e-7


@dataclass
class Targets:
    """Targets of a batch, padded to the largest number in an image."""

    labels: Tensor  # (B, m)
    boxes: Tensor  # (B, m, 4) cxcywh in [0, 1]
    counts: list[int]

    @classmethod
    @torch.compiler.disable  # numbers of targets change with every batch
    def of(cls, labels: list[Tensor], boxes: list[Tensor]) -> Targets:
        """From the labels ``(n,)`` and cxcywh boxes ``(n, 4)`` of each image."""
        pad = torch.nn.utils.rnn.pad_sequence
        counts = [len(label) for label in labels]
        return cls(pad(labels, batch_first=True), pad(boxes, batch_first=True), counts)


@dataclass
class Matches:
    """Matched pairs; four vectors of one length, sorted by layer, image and query."""

    layer: Tensor
    image: Tensor
    query: Tensor
    target: Tensor


def iou_and_giou(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of cxcywh boxes ``(..., 4)``, whose shapes broadcast; 0 for empty boxes.

    Rezatofighi et al., "Generalized Intersection over Union", 2019.

    Example:
        >>> iou, giou = iou_and_giou(torch.tensor([0.5, 0.5, 1, 1]), torch.tensor([0.25, 0.5, 0.5, 1]))
        >>> round(iou.item(), 4), round(giou.item(), 4)
        (0.5, 0.5)
    """
    a, b = (box_convert(t, "cxcywh", "xyxy") for t in (boxes, others))
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    intersection = overlap.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - intersection
    hull_area = hull.prod(-1)
    iou = intersection / union.clamp(min=EPS)
    return iou, iou - (hull_area - union) / hull_area.clamp(min=EPS)


class HungarianMatcher:
    """One-to-one assignment of least total cost.

    Args:
        cost_class: weight of the class cost.
        cost_bbox: weight of the L1 distance of cxcywh boxes.
        cost_giou: weight of the negative generalised IoU.
        alpha: of the focal class cost.
        gamma: of the focal class cost.
    """

    def __init__(
        self,
        cost_class: float = 2.0,
        cost_bbox: float = 5.0,
        cost_giou: float = 2.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ):
        self.cost_class, self.cost_bbox, self.cost_giou = cost_class, cost_bbox, cost_giou
        self.alpha, self.gamma = alpha, gamma

    @torch.no_grad()
    def costs(self, logits: Tensor, boxes: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
        """Unweighted class, L1 and GIoU costs, ``(L, B, Q, m)`` each.

        Args:
            logits: ``(L, B, Q, classes)``.
            boxes: ``(L, B, Q, 4)`` cxcywh.
            targets: of the B images.
        """
        index = targets.labels[None, :, None].expand(*logits.shape[:3], -1)  # (L, B, Q, m)
        score = logits.float().gather(-1, index).sigmoid()
        positive = self.alpha * (1 - score) ** self.gamma * -torch.log(score + 1e-6)
        negative = (1 - self.alpha) * score**self.gamma * -torch.log(1 - score + 1e-6)
        predicted, wanted = boxes.float(), targets.boxes.float()
        distance = torch.cdist(predicted, wanted.expand(len(boxes), -1, -1, -1), p=1)
        giou = iou_and_giou(predicted[:, :, :, None], wanted[None, :, None])[1]
        return positive - negative, distance, -giou

    @torch.no_grad()
    def __call__(self, logits: Tensor, boxes: Tensor, targets: Targets, copies: int = 1) -> Matches:
        """Match every layer and image; with more targets than queries some targets stay unmatched.

        Args:
            logits: ``(L, B, Q, classes)``.
            boxes: ``(L, B, Q, 4)`` cxcywh.
            targets: of the B images.
            copies: predictions that each target may have.
        """
        by_class, by_distance, by_giou = self.costs(logits, boxes, targets)
        cost = self.cost_class * by_class + self.cost_bbox * by_distance + self.cost_giou * by_giou
        # A prediction that is not a number shows up in the loss; the assignment must not break on it.
        cost = cost.nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6).cpu().numpy()  # (L, B, Q, m)
        found = [np.zeros((4, 0), np.int64)]
        for layer, image in np.ndindex(cost.shape[:2]):
            count = targets.counts[image]
            block = np.tile(cost[layer, image, :, :count], copies)  # (Q, copies * n)
            query, column = linear_sum_assignment(block)
            where = np.broadcast_to([[layer], [image]], (2, len(query)))
            found.append(np.stack((*where, query, column % max(1, count))))
        return Matches(*torch.from_numpy(np.concatenate(found, axis=1)).to(logits.device))
