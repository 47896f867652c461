"""Depth bins whose width grows linearly with depth (LID).

Reading et al., "Categorical Depth Distribution Network for Monocular 3D Object Detection", CVPR 2021, eq. 2.
With ``delta = 2 (max - min) / (N (N + 1))``, bin k begins at ``min + delta k (k + 1) / 2``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bin_values(num_bins: int, depth_min: float, depth_max: float) -> Tensor:
    """The depth that stands for each bin, its near edge, and ``depth_max`` for the background: ``(N + 1,)``.

    Args:
        num_bins: N.
        depth_min: metres, where bin 0 begins.
        depth_max: metres, where the last bin ends.

    Example:
        >>> bin_values(3, 0.0, 12.0).tolist()
        [0.0, 2.0, 6.0, 12.0]
    """
    delta = 2 * (depth_max - depth_min) / (num_bins * (num_bins + 1))
    index = torch.arange(num_bins, dtype=torch.float64)
    edges = depth_min + delta * index * (index + 1) / 2
    return torch.cat([edges, edges.new_tensor([depth_max])]).float()


def bin_index(depth: Tensor, num_bins: int, depth_min: float, depth_max: float) -> Tensor:
    """The bin of each depth, int64; N, the background, for depths out of range or not finite.

    Args:
        depth: metres, any shape.
        num_bins: N.
        depth_min: metres.
        depth_max: metres.

    Example:
        >>> bin_index(torch.tensor([0.5, 2.5, 11.0, 13.0, -1.0]), 3, 0.0, 12.0).tolist()
        [0, 1, 2, 3, 3]
    """
    delta = 2 * (depth_max - depth_min) / (num_bins * (num_bins + 1))
    index = -0.5 + 0.5 * torch.sqrt(1 + 8 * (depth - depth_min) / delta)
    outside = ~torch.isfinite(index) | (index < 0) | (index > num_bins)
    return index.masked_fill(outside, num_bins).long()
