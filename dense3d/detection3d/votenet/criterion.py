"""VoteNet's losses, and the IoU losses that later work added.

Qi et al., "Deep Hough Voting for 3D Object Detection in Point Clouds", ICCV 2019, section 4.3 and
appendix A.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.detection3d.votenet.proposals import Proposals, chosen_sizes
from dense3d.detection3d.votenet.targets import BoxTargets
from dense3d.errors import ConfigError
from dense3d.ops import box_iou_3d_loss

EPS = 1e-6
IOU_KINDS = ("iou", "giou", "diou")
LEAST_SIZE = 1e-3  # metres, of a predicted box whose overlap is asked for


@dataclass
class Assignment:
    """Which true box each proposal of a batch belongs to.

    Attributes:
        positive: ``(B, K)`` bool. counted: ``(B, K)`` bool, false between near and far.
        target: ``(B, K)``, the box whose centre is nearest.
    """

    positive: Tensor
    counted: Tensor
    target: Tensor


@dataclass(frozen=True)
class VoteCriterion:
    """The weighted terms of VoteNet's loss.

    Attributes:
        near, far: metres between a cluster and the nearest true centre, below which it is an object and
            beyond which it is none; what lies between does not count.
        objectness_weights: of the logits no and yes.
        match_padding: let the zeros that fill up the lists of boxes take part in the search for the nearest
            box, as the official code does: a proposal near the origin may then be told that it is an object.
        iou: ``"iou"``, ``"giou"`` or ``"diou"`` for a loss of the overlap of positive proposals beside the
            others (Zhou et al., "IoU Loss for 2D/3D Object Detection", 3DV 2019), of boxes of the true
            heading bin and size class; None for none.
        iou_weight: of that, beside 1 for the box terms.
        scale: of everything.

    Raises:
        ConfigError: ``iou`` is another word.
    """

    near: float = 0.3
    far: float = 0.6
    objectness_weights: tuple[float, float] = (0.2, 0.8)
    match_padding: bool = False
    iou: str | None = None
    iou_weight: float = 1 / 3
    scale: float = 10.0

    def __post_init__(self) -> None:
        if self.iou is not None and self.iou not in IOU_KINDS:
            raise ConfigError(
                f"iou={self.iou!r} of VoteNet's losses: use one of {', '.join(IOU_KINDS)}, or None"
            )

    def __call__(
        self, proposals: Proposals, votes: Tensor, vote_targets: Tensor, voting: Tensor, targets: BoxTargets
    ) -> dict[str, Tensor]:
        """Weighted losses, whose sum is VoteNet's, and shares of the proposals for the log.

        Args:
            proposals: of a batch.
            votes: ``(B, S, V, 3)``, of the seeds.
            vote_targets: ``(B, S, 3, 3)``, places where a seed may vote for.
            voting: ``(B, S)`` bool, seeds that have such a place.
            targets: true boxes.
        """
        assignment = self.assign(proposals.clusters, targets)
        terms = self.terms(proposals, assignment, targets)
        terms["loss_vote"] = vote_loss(votes, vote_targets, voting)
        weights = dict(loss_objectness=0.5, loss_heading_bin=0.1, loss_size_class=0.1, loss_class=0.1)
        losses = {name: self.scale * weights.get(name, 1.0) * value for name, value in terms.items()}
        if self.iou is not None:
            losses["loss_iou"] = self.scale * self.iou_weight * self._overlap(proposals, assignment, targets)
        positive = assignment.positive.float().mean()
        losses["positive_share"] = positive
        losses["negative_share"] = assignment.counted.float().mean() - positive
        right = (proposals.objectness.argmax(dim=2) == assignment.positive) & assignment.counted
        losses["objectness_accuracy"] = right.sum() / (assignment.counted.sum() + EPS)
        return losses

    def assign(self, clusters: Tensor, targets: BoxTargets) -> Assignment:
        """The nearest true box of each cluster ``(B, K, 3)``."""
        squared, nearest = self._squared(clusters, targets).min(dim=2)
        distance = (squared + EPS).sqrt()
        positive = distance < self.near
        return Assignment(positive, positive | (distance > self.far), nearest)

    def terms(self, proposals: Proposals, assignment: Assignment, targets: BoxTargets) -> dict[str, Tensor]:
        """The terms of the proposals, not weighted."""
        positive = assignment.positive.float()
        weights = proposals.objectness.new_tensor(self.objectness_weights)
        objectness = F.cross_entropy(
            proposals.objectness.transpose(1, 2), assignment.positive.long(), weights, reduction="none"
        )
        bins, rests, labels, kinds = (
            values.gather(1, assignment.target)
            for values in (targets.heading_bins, targets.heading_rests, targets.labels, targets.kinds)
        )
        sizes = targets.boxes[..., 3:6].gather(1, assignment.target[..., None].expand(-1, -1, 3))
        mean_sizes = proposals.mean_sizes[kinds]
        size_errors = chosen_sizes(proposals.size_rests, kinds) - (sizes - mean_sizes) / mean_sizes
        unit = math.pi / proposals.heading_logits.shape[2]
        heading_errors = proposals.heading_rests.gather(2, bins[..., None])[..., 0] - rests / unit
        return {
            "loss_objectness": _mean(objectness, assignment.counted.float()),
            "loss_centre": self._centre_loss(proposals.centres, positive, targets),
            "loss_heading_bin": _mean(_cross_entropy(proposals.heading_logits, bins), positive),
            "loss_heading": _mean(_huber(heading_errors), positive),
            "loss_size_class": _mean(_cross_entropy(proposals.size_logits, kinds), positive),
            "loss_size": _mean(_huber(size_errors).mean(dim=2), positive),
            "loss_class": _mean(_cross_entropy(proposals.class_logits, labels), positive),
        }

    def _squared(self, points: Tensor, targets: BoxTargets) -> Tensor:
        """``(B, K, G)`` squared distances to true centres; infinite to padding unless it may be matched."""
        squared = (points[:, :, None] - targets.boxes[:, None, :, :3]).square().sum(dim=3)
        return squared if self.match_padding else squared.masked_fill(~targets.real[:, None], torch.inf)

    def _centre_loss(self, centres: Tensor, positive: Tensor, targets: BoxTargets) -> Tensor:
        """From positive proposals to true centres and back, squared metres."""
        squared = self._squared(centres, targets)
        there, back = squared.amin(dim=2), squared.amin(dim=1)
        there = torch.where(positive > 0, there, 0)
        back = torch.where(targets.real, back, 0)
        return _mean(there, positive) + _mean(back, targets.real.float())

    def _overlap(self, proposals: Proposals, assignment: Assignment, targets: BoxTargets) -> Tensor:
        """``1 - IoU`` of positive proposals with their true boxes, its mean."""
        bins, kinds = (v.gather(1, assignment.target) for v in (targets.heading_bins, targets.kinds))
        boxes = proposals.boxes(bins, kinds)[assignment.positive]  # (P, 7)
        true = targets.boxes.gather(1, assignment.target[..., None].expand(-1, -1, 7))[assignment.positive]
        boxes = torch.cat([boxes[:, :3], boxes[:, 3:6].clamp(min=LEAST_SIZE), boxes[:, 6:]], dim=1)
        if proposals.heading_logits.shape[2] > 1:
            loss = box_iou_3d_loss(boxes, true, self.iou)
        else:
            loss = aligned_iou_loss(boxes[:, :6], true[:, :6], self.iou)
        return loss.sum() / (len(loss) + EPS)


def vote_loss(votes: Tensor, targets: Tensor, voting: Tensor) -> Tensor:
    """Distance along the axes from the best of a seed's votes to the nearest of its places, the mean.

    Args:
        votes: ``(B, S, V, 3)``.
        targets: ``(B, S, T, 3)``.
        voting: ``(B, S)``, whether a seed should vote.

    Example:
        >>> votes, places = torch.zeros(1, 1, 1, 3), torch.tensor([[[[1.0, 1, 0], [3, 0, 0]]]])
        >>> round(vote_loss(votes, places, torch.ones(1, 1)).item(), 4)
        2.0
    """
    distances = (votes[:, :, :, None] - targets[:, :, None]).abs().sum(dim=4)  # (B, S, V, T)
    return _mean(distances.amin(dim=(2, 3)), voting.float())


def aligned_iou_loss(boxes: Tensor, others: Tensor, kind: str = "iou") -> Tensor:
    """``1 - IoU`` of pairs of boxes along the axes, or its generalisations; differentiable.

    Args:
        boxes, others: ``(N, 6)``, centres and sizes.
        kind: as for :func:`dense3d.ops.box_iou_3d_loss`, with the axis-aligned enclosing box.

    Returns:
        ``(N,)``.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0]])
        >>> round(aligned_iou_loss(box, box + torch.tensor([1.0, 0, 0, 0, 0, 0])).item(), 4)
        0.6667
    """
    low, high = boxes[:, :3] - boxes[:, 3:] / 2, boxes[:, :3] + boxes[:, 3:] / 2
    other_low, other_high = others[:, :3] - others[:, 3:] / 2, others[:, :3] + others[:, 3:] / 2
    sides = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0)
    common = sides.prod(dim=1)
    union = boxes[:, 3:].prod(dim=1) + others[:, 3:].prod(dim=1) - common
    iou = common / union
    if kind == "iou":
        return 1 - iou
    hull = torch.maximum(high, other_high) - torch.minimum(low, other_low)
    if kind == "giou":
        volume = hull.prod(dim=1)
        return 1 - iou + (volume - union) / volume
    return 1 - iou + (boxes[:, :3] - others[:, :3]).square().sum(1) / hull.square().sum(1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / (weights.sum() + EPS)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")


def _huber(error: Tensor) -> Tensor:
    return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=1.0)
