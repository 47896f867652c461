"""What the second image adds to a disparity map: occlusion, and how far the two maps disagree.

A network that predicts the left image's disparity predicts the right one's, too: of the mirrored pair with
its images exchanged, mirrored back.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops.disparity import left_right_check, warp_by_disparity

WINDOW = 7  # pixels over which disagreement is averaged


def mirrored_pair(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The pair whose left disparity, mirrored, is the right disparity of this one.

    Args:
        left, right: ``(..., H, W)``.
    """
    return right.flip(-1), left.flip(-1)


def occluded(left_disparity: Tensor, right_disparity: Tensor, threshold: float = 1.0) -> Tensor:
    """Left pixels ``(..., H, W)`` bool that the right image does not see, see :func:`left_right_check`."""
    return left_right_check(left_disparity, right_disparity, threshold)


def disagreement(left_disparity: Tensor, right_disparity: Tensor) -> Tensor:
    """Standard deviation of disparity in pixels, estimated from two maps ``(B, 1, H, W)``.

    Two independent estimates of equal variance differ by ``sqrt(2)`` times the standard deviation: it is the
    root mean square of ``(d_left(x) - d_right(x - d_left)) / sqrt(2)`` over a window. It knows nothing of an
    error that both maps share. Pixels whose match lies outside the image take the nearest column's.
    """
    seen = warp_by_disparity(right_disparity, left_disparity, outside=None)  # (B, 1, H, W)
    squared = ((left_disparity - seen) / math.sqrt(2)).square()
    padded = F.pad(squared, (WINDOW // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, WINDOW, stride=1).clamp(min=0).sqrt()


def confidence_of(deviation: Tensor) -> Tensor:
    """``1 / (1 + sigma)`` in (0, 1], for networks that have no confidence of their own."""
    return torch.reciprocal(1 + deviation)
