"""Loss of the depth map, whose only truth is the depth of objects painted into their 2D boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.detection3d.monodino_detr.bins import bin_index
from dense3d.detection3d.monodino_detr.targets import Targets

SMOOTHING = 1e-6


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

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        """Weighted sum over all cells divided by their number.

        Args:
            logits: ``(B, bins + 1, h, w)``.
            targets: of the B images.
        """
        depth, inside = paint_depth(targets, logits.shape[-2:])
        loss = softmax_focal_loss(logits, bin_index(depth, *self.bins), self.alpha, self.gamma)
        background, foreground = self.weights
        return (loss * torch.where(inside, foreground, background)).mean()


def paint_depth(targets: Targets, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
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
