"""Hungarian matching of queries and objects by class and by what is seen in the image; 3D plays no part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import generalized_box_iou

from dense3d.detection3d.monodino_detr.boxes import box_corners
from dense3d.detection3d.monodino_detr.targets import Targets

EPS = 1e-8


@dataclass
class Matches:
    """Matched pairs; three vectors of one length, sorted by image, group and query."""

    image: Tensor
    query: Tensor
    target: Tensor  # index into the objects of the whole batch


class HungarianMatcher:
    """One-to-one assignment of least total cost within each group of queries.

    Args:
        cost_class: weight of the focal class cost of Deformable DETR.
        cost_bbox: weight of the L1 distance of l, r, t, b.
        cost_giou: weight of the negative generalised IoU of the 2D boxes.
        cost_center: weight of the L1 distance of the projected 3D centres.
        alpha: of the focal class cost.
        gamma: of the focal class cost.
    """

    def __init__(
        self,
        cost_class: float = 2.0,
        cost_bbox: float = 5.0,
        cost_giou: float = 2.0,
        cost_center: float = 10.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ):
        self.cost_class, self.cost_bbox = cost_class, cost_bbox
        self.cost_giou, self.cost_center = cost_giou, cost_center
        self.alpha, self.gamma = alpha, gamma

    @torch.no_grad()
    def cost(self, logits: Tensor, boxes: Tensor, targets: Targets) -> Tensor:
        """Weighted cost ``(B * Q, T)`` of all queries of the batch and all its objects.

        Args:
            logits: ``(B, Q, classes)``.
            boxes: ``(B, Q, 6)``.
            targets: of the batch.
        """
        score = logits.float().flatten(0, 1).sigmoid()[:, targets.labels.long()]  # (B * Q, T)
        positive = self.alpha * (1 - score) ** self.gamma * -torch.log(score + EPS)
        negative = (1 - self.alpha) * score**self.gamma * -torch.log(1 - score + EPS)
        predicted, wanted = boxes.float().flatten(0, 1), targets.boxes_3d.float()
        return (
            self.cost_class * (positive - negative)
            + self.cost_center * torch.cdist(predicted[:, :2], wanted[:, :2], p=1)
            + self.cost_bbox * torch.cdist(predicted[:, 2:], wanted[:, 2:], p=1)
            - self.cost_giou * generalized_box_iou(box_corners(predicted), box_corners(wanted))
        )

    def __call__(self, logits: Tensor, boxes: Tensor, targets: Targets, groups: int = 1) -> Matches:
        """Match every image and group; with more objects than queries some objects stay unmatched.

        Args:
            logits: ``(B, groups * Q, classes)``.
            boxes: ``(B, groups * Q, 6)``.
            targets: of the B images.
            groups: groups of queries, each matched on its own.
        """
        batch, number = logits.shape[:2]
        # A prediction that is not a number shows up in the loss; the assignment must not break on it.
        cost = self.cost(logits, boxes, targets).nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6)
        blocks = cost.unflatten(0, (batch, groups, number // groups)).cpu().split(targets.counts, dim=-1)
        found, first = [torch.empty(3, 0, dtype=torch.long)], 0
        for image, count in enumerate(targets.counts):
            for group in range(groups):
                query, target = map(torch.from_numpy, linear_sum_assignment(blocks[image][image, group]))
                query = query + group * (number // groups)
                found.append(torch.stack((torch.full_like(query, image), query, target + first)))
            first += count
        return Matches(*torch.cat(found, dim=1).to(logits.device))
