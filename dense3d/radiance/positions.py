"""The fixed position table of NeRF-MAE (arXiv:2404.01300)."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.errors import ConfigError

TEMPERATURE = 10000.0


def check_position_channels(channels: int) -> None:
    """Complain about channels that three axes of sines and cosines cannot share.

    Raises:
        ConfigError: no multiple of 6; the official code breaks off on its own swin_b for that.
    """
    if channels % 6:
        raise ConfigError(
            f"the position table shares {channels} channels among sines and cosines of three axes, so "
            "embed_dim must be a multiple of 6 (swin_b's 128 is none): take another, or position_table=False"
        )


def position_table(sides: tuple[int, int, int], channels: int) -> Tensor:
    """Sines and cosines of the tokens' indices.

    The axes are in the official order, which comes from a mesh grid in (column, row) order: the first third
    of the channels follows the *second* axis, the second third the first one, the last third the last one.
    The official table is of cubes; indices are not scaled, so that other sides are parts of a larger table.

    Args:
        sides: tokens along each axis.
        channels: a multiple of 6.

    Returns:
        ``(X, Y, Z, channels)`` float32.

    Raises:
        ConfigError: other channels.

    Example:
        >>> table = position_table((2, 3, 4), 6)
        >>> [round(float(table[0, 1, 0, 0]), 4), round(float(table[1, 0, 0, 2]), 4)]
        [0.8415, 0.8415]
    """
    check_position_channels(channels)
    half = channels // 6
    frequencies = TEMPERATURE ** -(torch.arange(half, dtype=torch.float64, device="cpu") / half)
    parts = []
    for axis in (1, 0, 2):
        angles = torch.arange(sides[axis], dtype=torch.float64, device="cpu")[:, None] * frequencies
        part = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, C / 3)
        shape = [1, 1, 1, 2 * half]
        shape[axis] = sides[axis]
        parts.append(part.view(shape).expand(*sides, -1))
    return torch.cat(parts, dim=-1).float()
