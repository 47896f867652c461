"""Votes: every seed of an object points to the object's centre.

Qi et al., "Deep Hough Voting for 3D Object Detection in Point Clouds", ICCV 2019, section 4.1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.pointcloud.set_abstraction import PointFeatures


class Votes(NamedTuple):
    """Votes of a batch, those of one seed side by side.

    Attributes:
        points: ``(B, S * V, 3)``.
        features: ``(B, S * V, C)``.
        seeds: what voted.
    """

    points: Tensor
    features: Tensor
    seeds: PointFeatures


class Voting(nn.Module):
    """An offset and a change of features for each vote of a seed.

    Args:
        channels: C, of a seed's features.
        vote_factor: V, votes of a seed.

    Shape:
        seeds ``(B, S, 3)`` with ``(B, S, C)`` to votes ``(B, S * V, 3)`` with ``(B, S * V, C)``.

    Example:
        >>> seeds = PointFeatures(torch.rand(2, 5, 3), torch.rand(2, 5, 8), torch.zeros(2, 5).long())
        >>> Voting(8, vote_factor=2)(seeds).points.shape
        torch.Size([2, 10, 3])
    """

    def __init__(self, channels: int, vote_factor: int = 1) -> None:
        super().__init__()
        self.vote_factor = vote_factor
        self.hidden = point_head(channels)
        self.predict = nn.Linear(channels, (3 + channels) * vote_factor)

    def forward(self, seeds: PointFeatures) -> Votes:
        """Votes of seeds."""
        points, features, _ = seeds
        found = self.predict(self.hidden(features.flatten(0, 1)))
        found = found.unflatten(0, features.shape[:2]).unflatten(
            2, (self.vote_factor, -1)
        )  # (B, S, V, 3 + C)
        places = (points[:, :, None] + found[..., :3]).flatten(1, 2)
        changed = (features[:, :, None] + found[..., 3:]).flatten(1, 2)
        return Votes(places, F.normalize(changed, dim=2, eps=torch.finfo(changed.dtype).tiny), seeds)


def point_head(channels: int) -> nn.Sequential:
    """Two linear layers with batch norm and ReLU, PyTorch's initial weights: ``(N, C)`` to ``(N, C)``."""
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Linear(channels, channels), nn.BatchNorm1d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
