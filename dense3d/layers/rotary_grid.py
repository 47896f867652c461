"""Rotary position embedding of whole-number positions: rows turn one half of a head, columns the other.

Su et al., "RoFormer", 2021, in the two-dimensional form of Weinzaepfel et al., "CroCo v2", ICCV 2023. Unlike
:class:`dense3d.layers.rotary.AxialRope`, positions count patches from 0 and do not depend on the image's
size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid
from dense3d.layers.rotary import Rotation


def grid_positions(grid: Grid, device: torch.device | str | None = None) -> Tensor:
    """Row and column of each patch ``(h * w, 2)``, int64, in row-major order.

    Example:
        >>> grid_positions((2, 3)).tolist()
        [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    """
    rows, columns = (torch.arange(n, device=device) for n in grid)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)


class GridRope(nn.Module):
    """Rotations of patches at (row, column) for :func:`dense3d.layers.rotary.rotate`.

    The first half of a head's channels turns with the row, the second with the column. With Q a quarter of
    the channels, channels d and d + Q of a half are a pair, which turns by
    ``position * f0 / base ** (d / Q)``. Angles, sines and cosines are in float32 whatever the dtype of the
    model is, and nothing is cached or read back from the device.

    Args:
        head_dim: channels of a head, a multiple of four.
        base: of the geometric frequencies; 100 in CroCo v2.
        f0: highest frequency; with -1 instead of 1 everything turns backwards.

    Raises:
        ConfigError: ``head_dim`` is no multiple of four, or ``base`` is not positive.

    Example:
        >>> rope = GridRope(8)
        >>> sin, cos = rope((3, 4))  # of a grid
        >>> sin.shape
        torch.Size([12, 2, 4])
        >>> scattered = torch.tensor([[[5, 0], [0, 7], [2, 2]]])  # (B, N, 2)
        >>> rope.rotation(scattered)[0].shape
        torch.Size([1, 1, 3, 2, 4])
    """

    def __init__(self, head_dim: int, base: float = 100.0, f0: float = 1.0) -> None:
        super().__init__()
        if head_dim < 4 or head_dim % 4:
            raise ConfigError(
                f"rotary embedding of a grid needs heads of a multiple of 4 channels, not {head_dim}"
            )
        if not base > 0:
            raise ConfigError(f"rotary embedding needs a positive base, not {base}")
        self.base, self.f0 = float(base), float(f0)
        # whole numbers, so that half-precision models do not round them
        self.register_buffer("order", torch.arange(head_dim // 4), persistent=False)

    def forward(self, grid: Grid) -> Rotation:
        """Sines and cosines ``(h * w, 2, head_dim / 2)`` of the patches of a grid, row-major."""
        return self.rotation(self.coordinates(grid))

    def coordinates(self, grid: Grid) -> Tensor:
        """:func:`grid_positions` on the module's device."""
        return grid_positions(grid, self.order.device)

    def rotation(self, positions: Tensor) -> Rotation:
        """Sines and cosines of any positions.

        Args:
            positions: ``(N, 2)`` of all samples, or ``(B, N, 2)`` of each, as (row, column).

        Returns:
            two tensors ``(N, 2, head_dim / 2)`` or ``(B, 1, N, 2, head_dim / 2)``.
        """
        frequencies = self.f0 / self.base ** (self.order.float() / len(self.order))  # (Q,)
        angles = positions.float()[..., None] * frequencies  # (..., N, 2, Q)
        angles = torch.cat([angles, angles], dim=-1)  # both of a pair
        if positions.ndim == 3:
            angles = angles.unsqueeze(1)  # the heads'
        return angles.sin(), angles.cos()

    def extra_repr(self) -> str:
        return f"base={self.base:g}, f0={self.f0:g}"
