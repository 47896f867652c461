"""Hungarian matching of predictions and targets, for all layers of a decoder at once.

Carion et al., "DETR", section 3.1, with the focal class cost of Deformable DETR.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_convert

from dense3d.layers.assignment import MatchedPairs, assign, focal_cost, iou_and_giou


@dataclass
class BoxTargets:
    """Targets of a batch, padded to the largest number in an image."""

    labels: Tensor  # (B, m)
    boxes: Tensor  # (B, m, 4) cxcywh in [0, 1]
    counts: list[int]

    @classmethod
    @torch.compiler.disable  # numbers of targets change with every batch
    def of(cls, labels: list[Tensor], boxes: list[Tensor]) -> BoxTargets:
        """From the labels ``(n,)`` and cxcywh boxes ``(n, 4)`` of each image."""
        pad = torch.nn.utils.rnn.pad_sequence
        counts = [len(label) for label in labels]
        return cls(pad(labels, batch_first=True), pad(boxes, batch_first=True), counts)


class BoxMatcher:
    """One-to-one assignment of least total cost.

    Args:
        cost_class: weight of the class cost.
        cost_bbox: weight of the L1 distance of cxcywh boxes.
        cost_giou: weight of the negative generalised IoU.
        alpha: of the focal class cost.
        gamma: of the focal class cost.
        eps: added within the logarithms of the class cost.

    Example:
        >>> targets = BoxTargets.of([torch.tensor([1])], [torch.tensor([[0.5, 0.5, 0.2, 0.2]])])
        >>> boxes = torch.tensor([[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2]])
        >>> BoxMatcher()(torch.zeros(1, 1, 2, 3), boxes[None, None], targets).query.tolist()
        [1]
    """

    def __init__(
        self,
        cost_class: float = 2.0,
        cost_bbox: float = 5.0,
        cost_giou: float = 2.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
        eps: float = 1e-6,
    ):
        self.cost_class, self.cost_bbox, self.cost_giou = cost_class, cost_bbox, cost_giou
        self.alpha, self.gamma, self.eps = alpha, gamma, eps

    @torch.no_grad()
    def costs(self, logits: Tensor, boxes: Tensor, targets: BoxTargets) -> tuple[Tensor, Tensor, Tensor]:
        """Unweighted class, L1 and GIoU costs, ``(L, B, Q, m)`` each.

        Args:
            logits: ``(L, B, Q, classes)``.
            boxes: ``(L, B, Q, 4)`` cxcywh.
            targets: of the B images.
        """
        index = targets.labels[None, :, None].expand(*logits.shape[:3], -1)  # (L, B, Q, m)
        score = logits.float().gather(-1, index).sigmoid()
        predicted, wanted = boxes.float(), targets.boxes.float()
        distance = torch.cdist(predicted, wanted.expand(len(boxes), -1, -1, -1), p=1)
        corners, wanted_corners = (box_convert(b, "cxcywh", "xyxy") for b in (predicted, wanted))
        giou = iou_and_giou(corners[:, :, :, None], wanted_corners[None, :, None])[1]
        return focal_cost(score, self.alpha, self.gamma, self.eps), distance, -giou

    @torch.no_grad()
    def __call__(self, logits: Tensor, boxes: Tensor, targets: BoxTargets, copies: int = 1) -> MatchedPairs:
        """Match every layer and image; with more targets than queries some targets stay unmatched.

        Args:
            logits: ``(L, B, Q, classes)``.
            boxes: ``(L, B, Q, 4)`` cxcywh.
            targets: of the B images.
            copies: predictions that each target may have.
        """
        by_class, by_distance, by_giou = self.costs(logits, boxes, targets)
        cost = self.cost_class * by_class + self.cost_bbox * by_distance + self.cost_giou * by_giou
        return assign(cost, targets.counts, copies=copies)  # cost (L, B, Q, m)
