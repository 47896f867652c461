"""Losses of MonoDETR and MonoDINO-DETR: every decoder layer is matched and judged on its own.

Zhang et al., "MonoDETR", ICCV 2023 (arXiv 2203.13310), section 3.5. The only truth of the depth map is the
depth of objects, painted into their 2D boxes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from dense3d.detection3d.monodino_detr.depth import bin_index
from dense3d.detection3d.monodino_detr.matching import ObjectMatcher, ObjectTargets
from dense3d.detection3d.monodino_detr.prediction import HEADING_BINS, Predictions, box_corners
from dense3d.layers.assignment import MatchedPairs, mean_number

Losses = dict[str, Tensor]
SMOOTHING = 1e-6  # of the depth map's classes, as in the official code
WEIGHTS = dict(ce=2.0, bbox=5.0, giou=2.0, center=10.0, dim=1.0, angle=1.0, depth=1.0, depth_map=1.0)


class MonoCriterion:
    """Weighted losses of all decoder layers and of the depth map.

    Args:
        weights: factors of the losses that differ from :data:`WEIGHTS`.
        alpha: of the focal class loss.
        gamma: of the focal class loss.
        matcher: arguments of :class:`ObjectMatcher`.
        depth_map: arguments of :class:`DepthMapLoss`.
    """

    def __init__(
        self,
        weights: dict[str, float] | None = None,
        alpha: float = 0.25,
        gamma: float = 2.0,
        matcher: dict | None = None,
        depth_map: dict | None = None,
    ):
        self.weights = WEIGHTS | (weights or {})
        self.alpha, self.gamma = alpha, gamma
        self.matcher = ObjectMatcher(**(matcher or {}))
        self.depth_map_loss = DepthMapLoss(**(depth_map or {}))

    def __call__(
        self, layers: list[Predictions], depth_logits: Tensor, targets: ObjectTargets, groups: int = 1
    ) -> Losses:
        """All losses; those of layers before the last have its number behind their name.

        Args:
            layers: predictions of each decoder layer.
            depth_logits: ``(B, bins + 1, h, w)``.
            targets: of the batch.
            groups: groups of queries.

        Returns:
            ``loss_ce``, ``loss_bbox`` ... and ``class_error`` of the last layer in percent, which is no loss.
        """
        divisor = mean_number(sum(targets.counts) * groups, depth_logits.device)
        found: Losses = {}
        for index, predictions in enumerate(layers):
            matches = self.matcher(predictions.logits, predictions.boxes, targets, groups)
            losses = self.layer(predictions, targets, matches, divisor)
            last = index + 1 == len(layers)
            found |= {f"loss_{name}" + ("" if last else f"_{index}"): loss for name, loss in losses.items()}
        depth_map = self.depth_map_loss(depth_logits, targets)
        found["loss_depth_map"] = self.weights["depth_map"] * depth_map
        found["class_error"] = class_error(layers[-1].logits, targets, matches)
        return found

    def layer(
        self, predictions: Predictions, targets: ObjectTargets, matches: MatchedPairs, divisor: Tensor | float
    ) -> Losses:
        """Weighted losses of one layer.

        Args:
            predictions: of the layer.
            targets: of the batch.
            matches: which query has which object.
            divisor: number of objects of the batch, times groups.
        """
        query, target = (matches.image, matches.query), matches.among_all(targets.counts)
        boxes, wanted = predictions.boxes[query].float(), targets.boxes_3d[target].float()  # (M, 6)
        sums = {
            "ce": self._class_loss(predictions.logits.float(), (*query, targets.labels[target].long())),
            "center": F.l1_loss(boxes[:, :2], wanted[:, :2], reduction="sum"),
            "bbox": F.l1_loss(boxes[:, 2:], wanted[:, 2:], reduction="sum"),
            "giou": giou_loss(boxes, wanted).sum(),
            "dim": size_loss(predictions.sizes[query].float(), targets.size_3d[target].float()),
            "angle": heading_loss(
                predictions.headings[query].float(),
                targets.heading_bin[target],
                targets.heading_residual[target].float(),
            ),
            "depth": depth_loss(predictions.depths[query].float(), targets.depth[target].float()),
        }
        return {name: self.weights[name] * value / divisor for name, value in sums.items()}

    def _class_loss(self, logits: Tensor, matched: tuple[Tensor, ...]) -> Tensor:
        wanted = torch.zeros_like(logits)
        wanted[matched] = 1
        return sigmoid_focal_loss(logits, wanted, self.alpha, self.gamma, reduction="sum")


def giou_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """``1 - GIoU`` of the 2D boxes in ``(M, 6)``: ``(M,)``."""
    # The library's epsilon of 1e-7 would be a thousandth of the area of a distant object.
    return generalized_box_iou_loss(box_corners(boxes), box_corners(wanted), eps=1e-12)


def size_loss(sizes: Tensor, wanted: Tensor) -> Tensor:
    """Sum of errors relative to the true size ``(M, 3)``, scaled to the mean absolute error.

    Ma et al., "Delving into Localization Errors for Monocular 3D Object Detection" (MonoDLE), CVPR 2021,
    eq. 5. The scale has no gradient.

    Example:
        >>> loss = size_loss(torch.tensor([[2.0, 2.0, 5.0]]), torch.tensor([[1.0, 2.0, 4.0]]))
        >>> round(loss.item(), 4)
        2.0
    """
    error = (sizes - wanted).abs()
    relative = error / wanted
    if not len(error):
        return error.sum()
    with torch.no_grad():
        scale = error.mean() / relative.mean().clamp(min=torch.finfo(error.dtype).tiny)
    return (relative * scale).sum()


def heading_loss(headings: Tensor, bins: Tensor, residuals: Tensor) -> Tensor:
    """Cross-entropy of the bin and L1 of the true bin's residual, summed.

    Args:
        headings: ``(M, 24)``, logits and residuals.
        bins: ``(M,)``.
        residuals: ``(M,)`` radians.
    """
    logits, found = headings.split(HEADING_BINS, dim=-1)
    bins = bins.long()
    found = found.gather(1, bins[:, None])[:, 0]
    return F.cross_entropy(logits, bins, reduction="sum") + F.l1_loss(found, residuals, reduction="sum")


def depth_loss(depths: Tensor, wanted: Tensor) -> Tensor:
    """Negative log-likelihood of a Laplace distribution without its constant, summed; it may be negative.

    Chen et al., "MonoPair", CVPR 2020, eq. 4.

    Args:
        depths: ``(M, 2)``, metres and the logarithm s of the standard deviation.
        wanted: ``(M,)`` metres.
    """
    depth, log_deviation = depths.unbind(-1)
    return (1.4142 * torch.exp(-log_deviation) * (depth - wanted).abs() + log_deviation).sum()


@torch.no_grad()
def class_error(logits: Tensor, targets: ObjectTargets, matches: MatchedPairs) -> Tensor:
    """Percentage of matched queries whose strongest class is not their object's; 100 without objects."""
    strongest = logits[matches.image, matches.query].argmax(-1)
    if not len(strongest):
        return logits.new_tensor(100.0)
    return 100 * (strongest != targets.labels[matches.among_all(targets.counts)]).float().mean()


class DepthMapLoss:
    """Focal loss of depth bins, where the cells inside boxes weigh more.

    Reading et al., "CaDDN", CVPR 2021, section 3.4, with boxes in place of lidar.

    Args:
        num_bins: bins without the background, which is the last class.
        depth_min: metres.
        depth_max: metres.
        alpha: factor of the focal loss.
        gamma: exponent of the focal loss.
        foreground_weight: weight of a cell inside a box.
        background_weight: weight of the others.
    """

    def __init__(
        self,
        num_bins: int = 80,
        depth_min: float = 1e-3,
        depth_max: float = 60.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
        foreground_weight: float = 13.0,
        background_weight: float = 1.0,
    ):
        self.bins = (num_bins, depth_min, depth_max)
        self.alpha, self.gamma = alpha, gamma
        self.weights = (background_weight, foreground_weight)

    def __call__(self, logits: Tensor, targets: ObjectTargets) -> Tensor:
        """Weighted sum over all cells divided by their number.

        Args:
            logits: ``(B, bins + 1, h, w)``.
            targets: of the B images.
        """
        depth, inside = paint_depth(targets, logits.shape[-2:])
        loss = softmax_focal_loss(logits, bin_index(depth, *self.bins), self.alpha, self.gamma)
        background, foreground = self.weights
        return (loss * torch.where(inside, foreground, background)).mean()


def paint_depth(targets: ObjectTargets, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Depth of the nearest object at each cell and whether there is one, ``(B, h, w)`` both; 0 without one.

    A box reaches from the cell of its left and top side to the cell before that of its right and bottom side,
    rounded up. A side left of or above the image counts from the other end, as in the official code, so that
    most such boxes paint nothing.

    Args:
        targets: of the B images.
        shape: height and width of the grid.
    """
    height, width = shape
    scale = targets.boxes.new_tensor([width, height])
    centres, sizes = targets.boxes.split(2, dim=-1)
    starts = ((centres - sizes / 2) * scale).floor().long().tolist()
    stops = ((centres + sizes / 2) * scale).ceil().long().tolist()
    depths = targets.depth.tolist()
    painted = torch.zeros(len(targets.counts), height, width)
    first = 0
    for image, count in enumerate(targets.counts):
        for index in sorted(range(first, first + count), key=depths.__getitem__, reverse=True):
            (left, top), (right, bottom) = starts[index], stops[index]
            painted[image, top:bottom, left:right] = depths[index]
        first += count
    painted = painted.to(targets.boxes.device)
    return painted, painted > 0


def softmax_focal_loss(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> Tensor:
    """``-alpha (1 - p)^gamma log p`` of the target's class, ``(B, h, w)``.

    Every class counts as the target with a weight of 1e-6, as in the official code.

    Args:
        logits: ``(B, classes, h, w)``.
        target: ``(B, h, w)``, int64.
        alpha: factor.
        gamma: exponent.
    """
    log_p = logits.float().log_softmax(dim=1)
    focal = -alpha * (1 - log_p.exp()) ** gamma * log_p  # (B, classes, h, w)
    wanted = F.one_hot(target, logits.shape[1]).movedim(-1, 1)
    return ((wanted + SMOOTHING) * focal).sum(dim=1)
