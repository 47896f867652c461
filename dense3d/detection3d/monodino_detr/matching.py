"""Objects of a batch, and their matching with queries by class and by what is seen in the image.

3D plays no part in the matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from dense3d.detection3d.monodino_detr.prediction import box_corners
from dense3d.layers.assignment import MatchedPairs, assign, focal_cost, iou_and_giou, own_pairs


@dataclass
class ObjectTargets:
    """Objects of all images of a batch, one after the other; T of them.

    The fields mean what they mean in :class:`dense3d.datasets.kitti.mono_targets.MonoTargets`.
    """

    labels: Tensor  # (T,)
    boxes: Tensor  # (T, 4) 2D boxes as centre, width, height
    boxes_3d: Tensor  # (T, 6) projected centre and distances to the 2D box's sides
    depth: Tensor  # (T,) metres
    size_3d: Tensor  # (T, 3) height, width, length in metres
    heading_bin: Tensor  # (T,)
    heading_residual: Tensor  # (T,) radians
    counts: list[int]  # objects of each image

    @classmethod
    def of(cls, instances: Sequence[object]) -> ObjectTargets:
        """From one object an image with these attributes, such as ``data_sample.gt_instances``."""
        names = [field.name for field in fields(cls) if field.name != "counts"]
        parts = {name: torch.cat([getattr(image, name) for image in instances]) for name in names}
        return cls(**parts, counts=[len(image.labels) for image in instances])


class ObjectMatcher:
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
    def cost(self, logits: Tensor, boxes: Tensor, targets: ObjectTargets) -> Tensor:
        """Weighted cost ``(B * Q, T)`` of all queries of the batch and all its objects.

        Args:
            logits: ``(B, Q, classes)``.
            boxes: ``(B, Q, 6)``.
            targets: of the batch.
        """
        score = logits.float().flatten(0, 1).sigmoid()[:, targets.labels.long()]  # (B * Q, T)
        predicted, wanted = boxes.float().flatten(0, 1), targets.boxes_3d.float()
        giou = iou_and_giou(box_corners(predicted)[:, None], box_corners(wanted))[1]
        return (
            self.cost_class * focal_cost(score, self.alpha, self.gamma)
            + self.cost_center * torch.cdist(predicted[:, :2], wanted[:, :2], p=1)
            + self.cost_bbox * torch.cdist(predicted[:, 2:], wanted[:, 2:], p=1)
            - self.cost_giou * giou
        )

    def __call__(
        self, logits: Tensor, boxes: Tensor, targets: ObjectTargets, groups: int = 1
    ) -> MatchedPairs:
        """Match every image and group; with more objects than queries some objects stay unmatched.

        Args:
            logits: ``(B, groups * Q, classes)``.
            boxes: ``(B, groups * Q, 6)``.
            targets: of the B images.
            groups: groups of queries, each matched on its own.
        """
        cost = own_pairs(self.cost(logits, boxes, targets), targets.counts)  # (B, groups * Q, n)
        return assign(cost[None], targets.counts, groups)
