"""3DETR's matching of queries with true boxes, and its losses.

Misra et al., "An End-to-End Transformer Model for 3D Object Detection", ICCV 2021, section 3.5; weights are
the official ones for ScanNet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.detection3d.box_bins import heading_to_bin
from dense3d.detection3d.threedetr.heads import BoxPredictions
from dense3d.detection3d.threedetr.overlap import generalised_iou
from dense3d.detection3d.threedetr.position import SceneBounds
from dense3d.layers.assignment import MatchedPairs, assign, mean_number


@dataclass
class SetTargets:
    """True boxes of a batch, each scene filled up with zeros to G boxes.

    Attributes:
        boxes: ``(B, G, 7)``, world frame.
        centres, sizes: ``(B, G, 3)``, as shares of the scene's bounds.
        labels: ``(B, G)``.
        heading_bins: ``(B, G)``. heading_rests: ``(B, G)``, in units of pi / NH; both of the clockwise
            heading.
        counts: true boxes of each scene.
    """

    boxes: Tensor
    centres: Tensor
    sizes: Tensor
    labels: Tensor
    heading_bins: Tensor
    heading_rests: Tensor
    counts: list[int]


def set_targets(
    boxes: Sequence[Tensor], labels: Sequence[Tensor], bounds: SceneBounds, num_heading_bins: int
) -> SetTargets:
    """Boxes ``(K_i, 7)`` and labels ``(K_i,)`` of several scenes in one.

    Example:
        >>> bounds = SceneBounds(torch.zeros(1, 3), torch.full((1, 3), 4.0))
        >>> targets = set_targets([torch.tensor([[1.0, 2, 1, 2, 1, 1, 0]])], [torch.tensor([3])], bounds, 12)
        >>> targets.centres.tolist(), targets.sizes.tolist()
        ([[[0.25, 0.5, 0.25]]], [[[0.5, 0.25, 0.25]]])
    """
    counts = [len(one) for one in boxes]
    filled = boxes[0].new_zeros(len(boxes), max(1, *counts), 7)
    numbers = torch.zeros(filled.shape[:2], dtype=torch.long, device=filled.device)
    for scene, (one, its_labels) in enumerate(zip(boxes, labels)):
        filled[scene, : len(one)], numbers[scene, : len(one)] = one, its_labels
    bins, rests = heading_to_bin(-filled[..., 6], num_heading_bins)
    centres, sizes = bounds.normalised(filled[..., :3]), filled[..., 3:6] / bounds.extent
    return SetTargets(filled, centres, sizes, numbers, bins, rests / (math.pi / num_heading_bins), counts)


@dataclass(frozen=True)
class SetCriterion:
    """Costs of a match, and weights of the terms of the loss; every layer of the decoder has all terms.

    Attributes:
        cost_class, cost_objectness, cost_centre, cost_giou: of a match.
        no_object: weight of a query without a box in the cross entropy.
        giou, classes, heading_bin, heading, centre, size: weights of the terms; 0 leaves one out.
    """

    cost_class: float = 1.0
    cost_objectness: float = 0.0
    cost_centre: float = 0.0
    cost_giou: float = 2.0
    no_object: float = 0.25
    giou: float = 1.0
    classes: float = 1.0
    heading_bin: float = 0.1
    heading: float = 0.5
    centre: float = 5.0
    size: float = 1.0

    def __call__(self, found: BoxPredictions, targets: SetTargets) -> dict[str, Tensor]:
        """Weighted losses: ``loss_...`` of the last layer and ``d<number>.loss_...`` of those before."""
        rotated = bool((targets.heading_bins != 0).any() or (targets.heading_rests != 0).any())
        pairs = self.match(found, targets, rotated)
        terms = self.terms(found, targets, pairs, rotated)
        losses = {}
        for name, values in terms.items():
            weight = self.weights()[name]
            if weight == 0:
                continue
            *early, last = (weight * values).unbind()
            losses[f"loss_{name}"] = last
            losses |= {f"d{number}.loss_{name}": value for number, value in enumerate(early)}
        objects = found.class_logits[-1].detach().argmax(dim=-1) != found.class_logits.shape[-1] - 1
        true = torch.tensor(targets.counts, device=objects.device)
        losses["count_error"] = (objects.sum(dim=1) - true).abs().float().mean()
        return losses

    def weights(self) -> dict[str, float]:
        """Of the terms, by name."""
        names = ("giou", "classes", "heading_bin", "heading", "centre", "size")
        return {name: getattr(self, name) for name in names}

    @torch.no_grad()
    def match(self, found: BoxPredictions, targets: SetTargets, rotated: bool) -> MatchedPairs:
        """The pairs of least cost, of each layer and scene."""
        probabilities, objectness = found.probabilities()
        labels = targets.labels[None, :, None].expand(*probabilities.shape[:3], -1)  # (L, B, Q, G)
        cost = (
            -self.cost_class * probabilities.gather(3, labels) - self.cost_objectness * objectness[..., None]
        )
        if self.cost_centre:
            cost = cost + self.cost_centre * torch.cdist(
                found.centres, targets.centres.to(found.centres), p=1
            )
        if self.cost_giou:
            cost = cost - self.cost_giou * self.overlaps(found, targets, rotated)
        return assign(cost, targets.counts)

    @torch.no_grad()
    def overlaps(self, found: BoxPredictions, targets: SetTargets, rotated: bool) -> Tensor:
        """``(L, B, Q, G)`` generalised IoU; 0 for what fills a scene up."""
        giou = generalised_iou(found.boxes[..., None, :], targets.boxes[None, :, None], rotated)
        number = torch.arange(giou.shape[3], device=giou.device)
        real = number < torch.tensor(targets.counts, device=giou.device)[:, None]  # (B, G)
        return torch.where(real[:, None], giou, 0)

    def terms(
        self, found: BoxPredictions, targets: SetTargets, pairs: MatchedPairs, rotated: bool
    ) -> dict[str, Tensor]:
        """The terms ``(L,)``, not weighted; those of weight 0 are left out, but for headings."""
        layers = len(found.class_logits)
        query = (pairs.layer, pairs.image, pairs.query)
        target = (pairs.image, pairs.target)
        number = mean_number(sum(targets.counts), found.class_logits.device)

        def summed(values: Tensor) -> Tensor:  # (P,) to (L,)
            return values.new_zeros(layers).index_add(0, pairs.layer, values) / number

        labels = torch.full_like(
            found.class_logits[..., 0], found.class_logits.shape[3] - 1, dtype=torch.long
        )
        labels[query] = targets.labels[target]
        bins = targets.heading_bins[target]
        rests = found.heading_rests[query].gather(1, bins[:, None])[:, 0]
        heading = F.huber_loss(rests, targets.heading_rests[target], reduction="none", delta=1.0)
        terms = {
            "classes": self._classes(found.class_logits, labels),
            "heading_bin": summed(F.cross_entropy(found.heading_logits[query], bins, reduction="none")),
            "heading": summed(heading),
            "centre": summed((found.centres[query] - targets.centres[target]).abs().sum(dim=1)),
            "size": summed((found.sizes[query] - targets.sizes[target]).abs().sum(dim=1)),
        }
        if self.giou:
            giou = generalised_iou(found.boxes[query], targets.boxes[target], rotated)
            terms["giou"] = summed(1 - giou)
        return terms

    def _classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy of each layer, divided by the sum of the queries' weights."""
        weights = logits.new_ones(logits.shape[3])
        weights[-1] = self.no_object
        values = F.cross_entropy(logits.movedim(3, 1), labels, weights, reduction="none")  # (L, B, Q)
        return values.sum(dim=(1, 2)) / weights[labels].sum(dim=(1, 2))
