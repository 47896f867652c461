"""How far a picture is from another: mean difference and structural similarity.

SSIM: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, with a
Gaussian window and zeros around the picture. The weighted sum is equation 7 of Kerbl et al., 2023.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import ConfigError, DataError
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
        ssim_weight: w, in 0 .. 1.

    Raises:
        DataError: shapes differ, or pictures are of whole numbers.
        ConfigError: another weight.

    Example:
        >>> photometric_loss(torch.full((8, 8, 3), 0.5), torch.full((8, 8, 3), 0.5)).loss.abs() < 1e-6
        tensor(True)
    """
    if not 0 <= ssim_weight <= 1:
        raise ConfigError(f"ssim_weight must lie in 0 .. 1, not {ssim_weight!r}")
    ssim = structural_similarity(render, target).mean()
    l1 = (render.to(ssim.dtype) - target.to(ssim.dtype)).abs().mean()
    return PhotometricLoss((1 - ssim_weight) * l1 + ssim_weight * (1 - ssim), l1, ssim)


def structural_similarity(first: Tensor, second: Tensor) -> Tensor:
    """SSIM of each pixel and channel, 1 where windows are equal.

    Args:
        first, second: ``(..., H, W, D)`` in 0 .. 1.

    Returns:
        the same shape, float64 where an input is, else float32, also under autocast.

    Raises:
        DataError: shapes differ, or have fewer than three axes, or pictures are of whole numbers.

    Example:
        >>> structural_similarity(torch.zeros(2, 2, 1), torch.ones(2, 2, 1)).max() < 0.01
        tensor(True)
    """
    if first.shape != second.shape or first.ndim < 3:
        raise DataError(
            f"pictures must have one shape (..., H, W, channels), not {tuple(first.shape)} and "
            f"{tuple(second.shape)}"
        )
    for picture in (first, second):
        if not picture.is_floating_point():
            raise DataError(
                f"pictures must be of floating point in 0 .. 1, not {picture.dtype}: divide bytes by 255"
            )
    dtype = working_dtype(first, second)
    with torch.autocast(first.device.type, enabled=False):
        a, b = (image.to(dtype).movedim(-1, -3) for image in (first, second))  # (..., D, H, W)
        mean_a, square_a, both = _Windowed.apply(torch.stack([a, a * a, a * b]))
        mean_b, square_b = _Windowed.apply(torch.stack([b, b * b]))  # apart, as a target has no gradient
        product, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
        variances = square_a + square_b - squares
        covariance = both - product
        ssim = (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
    return ssim.movedim(-3, -1)


class _Windowed(torch.autograd.Function):
    """Sums over the window around each pixel of ``(..., H, W)``, zeros around.

    The window is symmetric, so that the gradient is the same sum of the incoming gradient.
    """

    @staticmethod
    def forward(ctx, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        stack = images.reshape(1, -1, height, width)
        maps = stack.shape[1]
        if not stack.numel():
            return torch.zeros_like(images)
        places = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
        weights = torch.exp(-places.square() / (2 * SIGMA**2))
        weights = (weights / weights.sum()).expand(maps, 1, WINDOW)
        stack = F.conv2d(stack, weights[..., None], padding=(WINDOW // 2, 0), groups=maps)
        stack = F.conv2d(stack, weights[..., None, :], padding=(0, WINDOW // 2), groups=maps)
        return stack.view(images.shape)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Windowed.apply(gradient)
