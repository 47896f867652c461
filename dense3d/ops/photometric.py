"""How far a picture is from another: mean difference and structural similarity.

SSIM: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, with a
Gaussian window and zeros around the picture. The weighted sum is equation 7 of Kerbl et al., 2023.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops.point_checks import working_dtype

WINDOW, SIGMA = 11, 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2  # for values in 0 .. 1


class PhotometricLoss(NamedTuple):
    """The loss and its two parts, scalars."""

    loss: Tensor
    l1: Tensor
    ssim: Tensor


def photometric_loss(render: Tensor, target: Tensor, ssim_weight: float = 0.2) -> PhotometricLoss:
    """``(1 - w) L1 + w (1 - SSIM)``, means over all pixels and channels.

    Args:
        render, target: ``(..., H, W, D)`` in 0 .. 1, the layout of :func:`dense3d.ops.rasterize_gaussians`.
        ssim_weight: w.

    Raises:
        DataError: shapes differ.

    Example:
        >>> photometric_loss(torch.full((8, 8, 3), 0.5), torch.full((8, 8, 3), 0.5)).loss.abs() < 1e-6
        tensor(True)
    """
    ssim = structural_similarity(render, target).mean()
    l1 = (render - target).abs().mean()
    return PhotometricLoss((1 - ssim_weight) * l1 + ssim_weight * (1 - ssim), l1, ssim)


def structural_similarity(first: Tensor, second: Tensor) -> Tensor:
    """SSIM of each pixel and channel, 1 where windows are equal.

    Args:
        first, second: ``(..., H, W, D)`` in 0 .. 1.

    Returns:
        the same shape, float64 where an input is, else float32, also under autocast.

    Raises:
        DataError: shapes differ, or have fewer than three axes.

    Example:
        >>> structural_similarity(torch.zeros(2, 2, 1), torch.ones(2, 2, 1)).max() < 0.01
        tensor(True)
    """
    if first.shape != second.shape or first.ndim < 3:
        raise DataError(
            f"pictures must have one shape (..., H, W, channels), not {tuple(first.shape)} and "
            f"{tuple(second.shape)}"
        )
    dtype = working_dtype(first, second)
    with torch.autocast(first.device.type, enabled=False):
        a, b = (image.to(dtype).movedim(-1, -3) for image in (first, second))  # (..., D, H, W)
        moments = _windowed(torch.stack([a, b, a * a, b * b, a * b]))
        mean_a, mean_b = moments[0], moments[1]
        product, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
        variances = moments[2] + moments[3] - squares
        covariance = moments[4] - product
        ssim = (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
    return ssim.movedim(-3, -1)


def _windowed(images: Tensor) -> Tensor:
    """Sums over the window around each pixel of ``(..., H, W)``: a banded matrix from either side."""
    height, width = images.shape[-2:]
    return _band(height, images) @ images @ _band(width, images)


def _band(size: int, like: Tensor) -> Tensor:
    """``(size, size)``, symmetric: row i holds the window around place i, cut off at the ends."""
    places = torch.arange(size, dtype=like.dtype, device=like.device)
    offsets = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    total = torch.exp(-offsets.square() / (2 * SIGMA**2)).sum()
    distances = places[:, None] - places
    weights = torch.exp(-distances.square() / (2 * SIGMA**2)) / total
    return torch.where(distances.abs() <= WINDOW // 2, weights, 0)
