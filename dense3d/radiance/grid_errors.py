"""Errors of radiance grids on the voxels where something is."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.structures.radiance_grid import OCCUPIED


def rgb_error(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared error of colours on occupied voxels, and its PSNR in decibels.

    Args:
        predicted, target: ``(..., 4, X, Y, Z)``; the target tells which voxels are occupied.

    Returns:
        Two scalars; NaN where nothing is occupied.

    Example:
        >>> target = torch.ones(4, 1, 1, 2)
        >>> mse, psnr = rgb_error(target - 0.1, target)
        >>> round(float(mse), 4), round(float(psnr), 2)
        (0.01, 20.0)
    """
    predicted, target = predicted.float(), target.float()
    seen = target[..., 3, :, :, :] > OCCUPIED
    error = (predicted[..., :3, :, :, :] - target[..., :3, :, :, :]).square().mean(-4)
    mse = error[seen].mean()
    return mse, -10 * torch.log10(mse)
