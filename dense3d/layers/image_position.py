"""Positions as functions of the image's size, for transformers that see many resolutions.

Tian et al., "ResFormer: Scaling ViTs with Multi-Resolution Training", CVPR 2023 (arXiv 2212.00776), section
3.3: a global one, which is added to the patches, and a local one, which is added to what attention gives.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.layers.patch_embed import Grid, map_to_tokens, tokens_to_map


class GlobalPosition(nn.Module):
    """Sines of the place in the image, made local by a depthwise 3x3 convolution.

    Half of the channels encode the row, the other the column, from 1 to the number of rows and columns,
    brought to (0, 2 pi].

    Args:
        dim: channels, a multiple of 4.

    Shape:
        grid ``(h, w)`` to ``(1, h * w, dim)``.

    Example:
        >>> GlobalPosition(8)((3, 5)).shape
        torch.Size([1, 15, 8])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embed_layer = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, grid: Grid) -> Tensor:
        """The encoding of a grid."""
        weight = self.embed_layer.weight
        table = sine_table(grid, len(weight), weight.device).to(weight.dtype)
        return map_to_tokens(self.embed_layer(tokens_to_map(table, grid)))


def sine_table(grid: Grid, dim: int, device: torch.device | None = None) -> Tensor:
    """Sines at even and cosines at odd channels, rows first, ``(1, h * w, dim)``.

    Example:
        >>> sine_table((1, 1), 4).sum() < 2.001  # sin and cos of a whole turn, twice
        tensor(True)
    """
    half = dim // 2
    channel = torch.arange(half, dtype=torch.float64, device=device)
    frequency = 10000.0 ** (-2 * (channel // 2) / half)
    axes = []
    for count in grid:
        place = torch.arange(1, count + 1, dtype=torch.float64, device=device) / (count + 1e-6) * 2 * math.pi
        angle = place[:, None] * frequency  # (n, dim / 2)
        axes.append(torch.where(channel % 2 == 0, angle.sin(), angle.cos()))
    rows, columns = axes[0][:, None].expand(-1, grid[1], -1), axes[1][None].expand(grid[0], -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1).float()[None]


class LocalPosition(nn.Conv2d):
    """A depthwise 3x3 convolution of the patches' values, which starts at zero and is the same for all heads.

    Equation 4. It is the ``get_v`` of an attention, which adds it to its result before the output projection.

    Args:
        width: channels of a head, d.

    Shape:
        values ``(B, M, P + h * w + S, d)`` with P tokens before the patches and S behind them to the same;
        those of other tokens are zero.

    Example:
        >>> LocalPosition(4)(torch.zeros(2, 3, 1 + 15, 4), (3, 5), 1).shape
        torch.Size([2, 3, 16, 4])
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, padding=1, groups=width)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, value: Tensor, grid: Grid, num_prefix: int) -> Tensor:
        """The local term of all tokens."""
        stop = num_prefix + grid[0] * grid[1]
        patches = value[:, :, num_prefix:stop].flatten(0, 1)  # (B M, h w, d)
        local = map_to_tokens(super().forward(tokens_to_map(patches, grid))).unflatten(0, value.shape[:2])
        return F.pad(local, (0, 0, num_prefix, value.shape[2] - stop))
