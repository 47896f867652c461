"""What networks of radiance grids check of their input."""

from __future__ import annotations

from torch import Tensor

from dense3d.errors import DataError


def check_grids(grids: Tensor, in_channels: int) -> None:
    """Refuse what is no batch of grids.

    Args:
        grids: to be ``(B, in_channels, X, Y, Z)``.
        in_channels: of the network.

    Raises:
        DataError: it is something else.

    Example:
        >>> import torch
        >>> check_grids(torch.zeros(4, 8, 8, 8), 4)
        Traceback (most recent call last):
        dense3d.errors.DataError: a batch of grids is (B, 4, X, Y, Z), not (4, 8, 8, 8)
    """
    if grids.dim() != 5 or grids.shape[1] != in_channels or 0 in grids.shape[2:]:
        raise DataError(f"a batch of grids is (B, {in_channels}, X, Y, Z), not {tuple(grids.shape)}")
