"""A bias of attention by relative position that a small network computes, for groups of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.layers.patch_embed import Grid


class DynamicPositionBias(nn.Module):
    """Offsets between tokens to a bias for each attention head.

    Wang et al., "CrossFormer: A Versatile Vision Transformer Hinging on Cross-scale Attention", ICLR 2022,
    section 3.3: a linear layer, then three times layer norm, ReLU and a linear layer, without residuals.

    Args:
        hidden_dim: channels inside.
        num_heads: M.

    Shape:
        ``grid``, rows and columns of a group of N tokens -> ``(M, N, N)``; entry (i, j) belongs to the
        position of token i less that of token j.

    Example:
        >>> DynamicPositionBias(4, 2)((2, 3)).shape
        torch.Size([2, 6, 6])
    """

    def __init__(self, hidden_dim: int, num_heads: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(2, hidden_dim)]
        for width in (hidden_dim, hidden_dim, num_heads):
            layers += [nn.LayerNorm(hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, width)]
        self.mlp = nn.Sequential(*layers)

    def forward(self, grid: Grid) -> Tensor:
        """The bias of a group."""
        table = self.table(grid)
        rows, columns = (torch.arange(side, device=table.device) for side in grid)
        down = (rows[:, None] - rows + grid[0] - 1) * (2 * grid[1] - 1)  # (h, h)
        right = columns[:, None] - columns + grid[1] - 1  # (w, w)
        index = down[:, None, :, None] + right[None, :, None, :]  # (h, w, h, w)
        count = grid[0] * grid[1]
        return table[index.flatten()].view(count, count, -1).permute(2, 0, 1)

    def table(self, grid: Grid) -> Tensor:
        """Biases of all offsets ``(dy, dx)``, dy first: ``((2 h - 1) (2 w - 1), M)``."""
        weight = self.mlp[0].weight
        sides = [torch.arange(1 - n, n, dtype=weight.dtype, device=weight.device) for n in grid]
        return self.mlp(torch.cartesian_prod(*sides))
