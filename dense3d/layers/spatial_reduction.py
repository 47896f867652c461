"""Patches by convolutions, and residual spatial reduction between the stages of a transformer.

Liao et al., "Searching for Efficient Multi-Stage Vision Transformers", 2021 (arXiv:2109.00642).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.layers.patch_embed import Grid, map_to_tokens, resize_position_table, tokens_to_map

PATCH = 14
_EPS = 1e-6


class ConvNorm(nn.Module):
    """3x3 convolution without bias, batch norm, ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """The activated map."""
        return F.relu(self.bn(self.conv(x)))


class ConvPatches(nn.Module):
    """Patches of 14 x 14 pixels: a strided convolution, a residual pair, a convolution of 7 x 7 cells.

    Args:
        in_channels, channels, dim: of the images, between the convolutions, and of a patch.

    Shape:
        ``(B, in_channels, 14 h, 14 w)`` to ``(B, dim, h, w)``.

    Example:
        >>> ConvPatches(3, 4, 8)(torch.zeros(1, 3, 28, 42)).shape
        torch.Size([1, 8, 2, 3])
    """

    def __init__(self, in_channels: int, channels: int, dim: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, channels, stride=2)
        self.conv2 = ConvNorm(channels, channels)
        self.conv3 = ConvNorm(channels, channels)
        self.proj = nn.Conv2d(channels, dim, PATCH // 2, PATCH // 2)

    def forward(self, x: Tensor) -> Tensor:
        """The patches' features."""
        x = self.conv1(x)
        return self.proj(x + self.conv3(self.conv2(x)))


class Reduction(nn.Module):
    """Residual spatial reduction: half the sides, and as many or more channels.

    Patches pass a strided convolution of their norm and get new positions, class tokens a linear layer; to
    both comes what they were before the norm, patches averaged two by two, with zeros in the new channels.

    Args:
        in_dim, dim: channels before and after.
        num_prefix: class tokens, which stand first.
        grid: of the table of positions, after the reduction.

    Shape:
        tokens ``(B, P + h * w, in_dim)`` and ``(h, w)``, both even, to ``(B, P + h * w / 4, dim)``.

    Example:
        >>> Reduction(4, 8, num_prefix=1, grid=(2, 2))(torch.zeros(1, 1 + 24, 4), (4, 6)).shape
        torch.Size([1, 7, 8])
    """

    def __init__(self, in_dim: int, dim: int, num_prefix: int, grid: Grid) -> None:
        super().__init__()
        self.num_prefix, self.grid = num_prefix, grid
        self.norm = nn.LayerNorm(in_dim, eps=_EPS)
        self.patch_reduce = nn.Conv2d(in_dim, dim, 3, 2, padding=1)
        self.token_transform = nn.Linear(in_dim, dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid[0] * grid[1], dim))

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Tokens of the next stage."""
        return self.combine(tokens, self.norm(tokens), grid)

    def combine(self, tokens: Tensor, normed: Tensor, grid: Grid) -> Tensor:
        """:meth:`forward` of tokens and of what their norm gives, both ``(B, P + h * w, in_dim)``."""
        count = self.num_prefix
        pooled = F.avg_pool2d(tokens_to_map(tokens[:, count:], grid), 2)
        residual = torch.cat([tokens[:, :count], map_to_tokens(pooled)], dim=1)
        patches = self.patch_reduce(tokens_to_map(normed[:, count:], grid))
        half = (patches.shape[2], patches.shape[3])
        patches = map_to_tokens(patches) + resize_position_table(self.pos_embed, self.grid, half)
        reduced = torch.cat([self.token_transform(normed[:, :count]), patches], dim=1)
        return reduced + F.pad(residual, (0, reduced.shape[2] - residual.shape[2]))
