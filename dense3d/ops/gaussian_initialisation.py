"""Gaussians to start a fit from: one a point, as wide as its neighbours are far (Kerbl et al., 2023, 5.1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.ops.gaussian_checks import check_finite
from dense3d.ops.gaussian_colors import rgb_to_sh
from dense3d.ops.nearest_points import knn

NEIGHBOURS = 3
LEAST_SQUARED_DISTANCE = 1e-7
ROUNDING = 1e-3  # of colours that were converted


class InitialGaussians(NamedTuple):
    """Parameters of N Gaussians before their activations."""

    means: Tensor  # (N, 3)
    log_scales: Tensor  # (N, 3)
    quats: Tensor  # (N, 4), w first
    opacity_logits: Tensor  # (N,)
    sh_dc: Tensor  # (N, 3), the coefficient of degree 0


def gaussians_from_points(points: Tensor, colors: Tensor, opacity: float = 0.1) -> InitialGaussians:
    """One Gaussian a point: round, of the mean squared distance to the three nearest other points.

    Args:
        points: ``(N, 3)``, at least four.
        colors: ``(N, 3)`` in 0 .. 1, of floating point.
        opacity: of all of them, between 0 and 1.

    Raises:
        DataError: fewer than four points, another shape, or a value that is not finite or no colour.
        ConfigError: an opacity that is not between 0 and 1.

    Example:
        >>> corners = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]])
        >>> start = gaussians_from_points(corners, torch.full((4, 3), 0.5))
        >>> start.log_scales[0].exp().tolist(), start.sh_dc[0].tolist()
        ([2.0, 2.0, 2.0], [0.0, 0.0, 0.0])
    """
    if points.ndim != 2 or points.shape[-1] != 3:
        raise DataError(f"points must be (N, 3), not {tuple(points.shape)}")
    if colors.shape != points.shape:
        raise DataError(f"colors must be {tuple(points.shape)}, one a point, not {tuple(colors.shape)}")
    if len(points) <= NEIGHBOURS:
        raise DataError(f"points must be at least {NEIGHBOURS + 1}, but are {len(points)}: add random ones")
    if not colors.is_floating_point():
        raise DataError(
            f"colors must be of floating point in 0 .. 1, not {colors.dtype}: divide bytes by 255"
        )
    check_finite("colors", colors)
    low, high = (float(value) for value in colors.detach().aminmax())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise DataError(
            f"colors must lie in 0 .. 1, but reach from {low:.3g} to {high:.3g}: divide by the largest value"
        )
    if not 0 < opacity < 1:
        raise ConfigError(f"opacity must lie between 0 and 1, not {opacity!r}")
    squared, _ = knn(points[None], points[None], NEIGHBOURS + 1)
    spacing = squared[0, :, 1:].mean(-1).clamp(min=LEAST_SQUARED_DISTANCE)  # (N,); the nearest is the point
    quats = squared.new_tensor([1.0, 0, 0, 0]).repeat(len(points), 1)
    logits = torch.full_like(spacing, opacity).logit()
    log_scales = spacing.log().mul(0.5)[:, None].repeat(1, 3)
    means = points.detach().to(squared.dtype, copy=True)  # a fit moves them, and not the cloud
    return InitialGaussians(means, log_scales, quats, logits, rgb_to_sh(colors.to(squared.dtype)))
