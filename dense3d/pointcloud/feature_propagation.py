"""Features of centres brought to all points of a cloud."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dense3d.ops import interpolate_nearest


class FeaturePropagation(nn.Module):
    """Each point gets the weighted mean of its three nearest centres' features, and layers of its own.

    Qi et al., "PointNet++", NeurIPS 2017, section 3.4; weights are inverse squared distances and the point's
    coordinates come in front of the features, as in Point-MAE's official code.

    Args:
        in_channels: of the centres' features.
        channels: of the layers' outputs.

    Shape:
        points ``(B, N, 3)``, centres ``(B, G, 3)`` and features ``(B, G, in_channels)`` to
        ``(B, N, channels[-1])``.

    Example:
        >>> propagate = FeaturePropagation(4, (8, 6))
        >>> propagate(torch.rand(2, 10, 3), torch.rand(2, 5, 3), torch.rand(2, 5, 4)).shape
        torch.Size([2, 10, 6])
    """

    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU())
            for a, b in pairwise((in_channels + 3, *channels))
        )

    def forward(
        self, points: Tensor, centres: Tensor, features: Tensor, real: Tensor | None = None
    ) -> Tensor:
        """Features of points.

        Args:
            points: ``(B, N, 3)``.
            centres: ``(B, G, 3)``.
            features: ``(B, G, in_channels)``, of the centres.
            real: ``(B, N)`` bool, false for points that fill a batch up; their features are left out.

        Returns:
            ``(B, N, channels[-1])``, or ``(R, channels[-1])`` of the R real points.
        """
        found = interpolate_nearest(points, centres, features, k=3, power=2, eps=1e-8)
        found = torch.cat([points.to(found.dtype), found], dim=2)
        shape = found.shape[:2]
        found = found.flatten(0, 1) if real is None else found[real]
        for layer in self.layers:
            found = layer(found)
        return found.unflatten(0, shape) if real is None else found
