"""Positions within a scene: its bounds, and random Fourier features.

Misra et al., "An End-to-End Transformer Model for 3D Object Detection", ICCV 2021, section 3.2; Tancik et
al., "Fourier Features Let Networks Learn High Frequency Functions", NeurIPS 2020.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError

LEAST_EXTENT = 0.1  # metres


class SceneBounds(NamedTuple):
    """The axis-aligned hulls of the clouds of a batch.

    Attributes:
        low, high: ``(B, 3)`` metres.
    """

    low: Tensor
    high: Tensor

    @property
    def extent(self) -> Tensor:
        """``(B, 1, 3)``, at least 0.1 m along each axis."""
        return (self.high - self.low).clamp(min=LEAST_EXTENT)[:, None]

    def normalised(self, points: Tensor) -> Tensor:
        """Points ``(..., B, N, 3)`` with 0 and 1 at the bounds."""
        return (points - self.low[:, None]) / self.extent


def bounds_of(points: Tensor, lengths: Tensor | None = None) -> SceneBounds:
    """Bounds of clouds ``(B, N, 3)``, of which the first ``lengths`` points count.

    Example:
        >>> bounds_of(torch.tensor([[[0.0, 1, 2], [4, 3, 2]]])).high.tolist()
        [[4.0, 3.0, 2.0]]
    """
    if lengths is None:
        return SceneBounds(points.amin(dim=1), points.amax(dim=1))
    counted = torch.arange(points.shape[1], device=points.device) < lengths[:, None]
    low, high = (points.masked_fill(~counted[..., None], end) for end in (torch.inf, -torch.inf))
    return SceneBounds(low.amin(dim=1), high.amax(dim=1))


class FourierPosition(nn.Module):
    """Sines and cosines of random projections of positions; nothing is learned.

    Args:
        dim: channels, half of them sines.

    Attributes:
        projection: ``(3, dim / 2)``, normal numbers, part of a checkpoint.

    Shape:
        ``(B, N, 3)`` to ``(B, N, dim)``.

    Raises:
        ConfigError: ``dim`` is odd.

    Example:
        >>> points = torch.rand(2, 5, 3)
        >>> FourierPosition(8)(points, bounds_of(points)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim % 2:
            raise ConfigError(f"half of the channels of a position are sines: {dim} must be even")
        self.register_buffer("projection", torch.randn(3, dim // 2))

    @torch.no_grad()
    def forward(self, points: Tensor, bounds: SceneBounds) -> Tensor:
        """Embeddings of points within the bounds of their scenes."""
        angles = (2 * math.pi * bounds.normalised(points)) @ self.projection
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
