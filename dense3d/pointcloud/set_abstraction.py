"""Set abstraction: fewer points, each with the features of its neighbourhood.

Qi et al., "PointNet++", NeurIPS 2017, section 3.2, with the rules of the CUDA kernels that official networks
were trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import DataError
from dense3d.ops import ball_query, farthest_point_sample, gather_points, group_points


class PointFeatures(NamedTuple):
    """Some points of a batch of clouds, and what a network knows of each.

    Attributes:
        points: ``(B, S, 3)``.
        features: ``(B, S, C)``.
        indices: ``(B, S)``, places of the points in the cloud that they were chosen from.
    """

    points: Tensor
    features: Tensor
    indices: Tensor


class PointLayers(nn.Sequential):
    """Linear layers without bias, each with batch norm and ReLU, the same for every point.

    Weights are Kaiming-normal at first, as in the official code.

    Args:
        channels: of the input and of each layer.

    Shape:
        ``(N, channels[0])`` to ``(N, channels[-1])``.

    Example:
        >>> PointLayers((4, 8, 6))(torch.rand(10, 4)).shape
        torch.Size([10, 6])
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__(
            *(
                nn.Sequential(nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU(inplace=True))
                for a, b in pairwise(channels)
            )
        )
        for layer in self:
            nn.init.kaiming_normal_(layer[0].weight)


class SetAbstraction(nn.Module):
    """Spread centres, the points within a radius of each, layers for every point, the maximum.

    Offsets to the centre are divided by the radius and come in front of the features. The first layer is
    linear, so features pass it once a point and not once a neighbour.

    Args:
        num_points: S, centres.
        radius: in metres.
        num_neighbours: k, so many first points within the radius count.
        in_channels: of the features beside coordinates; 0 for none.
        channels: of the layers.

    Shape:
        points ``(B, N, 3)`` and features ``(B, N, in_channels)`` to ``(B, S, channels[-1])``.

    Example:
        >>> abstraction = SetAbstraction(5, 0.5, 4, in_channels=2, channels=(8, 6))
        >>> found = abstraction(torch.rand(2, 20, 3), torch.rand(2, 20, 2))
        >>> found.points.shape, found.features.shape, found.indices.shape
        (torch.Size([2, 5, 3]), torch.Size([2, 5, 6]), torch.Size([2, 5]))
    """

    def __init__(
        self, num_points: int, radius: float, num_neighbours: int, in_channels: int, channels: Sequence[int]
    ) -> None:
        super().__init__()
        self.num_points, self.radius, self.num_neighbours = num_points, radius, num_neighbours
        self.in_channels = in_channels
        self.layers = PointLayers((3 + in_channels, *channels))

    def forward(
        self,
        points: Tensor,
        features: Tensor | None = None,
        centre_indices: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> PointFeatures:
        """Centres and their features.

        Args:
            points: ``(B, N, 3)``.
            features: ``(B, N, in_channels)``, or None for none.
            centre_indices: ``(B, S)``, places of the centres; farthest points unless given.
            lengths: ``(B,)``, how many first points of each cloud count.

        Raises:
            DataError: a cloud has fewer points than centres, or features of other channels.
        """
        self._check(points, features, lengths)
        if centre_indices is None:
            centre_indices = farthest_point_sample(points, self.num_points, skip_origin=True, lengths=lengths)
        centres = gather_points(points, centre_indices)
        neighbours = ball_query(centres, points, self.radius, self.num_neighbours, lengths)  # (B, S, k)
        of_offset, of_features = self.layers[0][0].weight.split((3, self.in_channels), dim=1)
        offsets = group_points(points, centres, neighbours) / self.radius  # (B, S, k, 3)
        hidden = F.linear(offsets.to(of_offset.dtype), of_offset)
        if features is not None:
            hidden = hidden + _rows(F.linear(features, of_features), neighbours)
        hidden = hidden.flatten(0, 2)  # (B * S * k, C)
        first, *others = self.layers
        for part in list(first)[1:]:
            hidden = part(hidden)
        for layer in others:
            hidden = layer(hidden)
        pooled = hidden.unflatten(0, neighbours.shape).max(dim=2).values
        return PointFeatures(centres, pooled, centre_indices)

    def _check(self, points: Tensor, features: Tensor | None, lengths: Tensor | None) -> None:
        there = 0 if features is None else features.shape[-1]
        if there != self.in_channels:
            raise DataError(
                f"the clouds have {there} features a point beside coordinates and the network takes "
                f"{self.in_channels}: set the features of PackPointInputs, or the network's in_channels"
            )
        fewest = points.shape[1] if lengths is None else int(lengths.min())
        if fewest < self.num_points:
            raise DataError(
                f"a cloud of {fewest} points is too small for a network that chooses {self.num_points}: fill "
                f"it up with SamplePoints(count={self.num_points} or more) in the pipeline, or set a smaller "
                "num_points"
            )


def _rows(features: Tensor, indices: Tensor) -> Tensor:
    """``(B, N, C)`` by indices ``(B, S, k)`` to ``(B, S, k, C)``; whole rows are copied at once."""
    first = features.shape[1] * torch.arange(len(features), device=features.device)
    return F.embedding(indices + first[:, None, None], features.flatten(0, 1))
