"""Reading feature maps at positions between the pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops.dispatch import register_backend


def point_sample(features: Tensor, points: Tensor, align_corners: bool = False, **kwargs) -> Tensor:
    """Feature vectors at points given in fractions of the image (Kirillov et al., "PointRend", CVPR 2020).

    Args:
        features: ``(B, C, H, W)``.
        points: ``(B, P, 2)`` or ``(B, P, Q, 2)`` as ``(x, y)``, 0 and 1 being the image's borders.
        align_corners: 0 and 1 are the centres of the outermost pixels instead.
        kwargs: further arguments of :func:`torch.nn.functional.grid_sample`.

    Returns:
        ``(B, C, P)`` or ``(B, C, P, Q)``.

    Example:
        >>> features = torch.tensor([[[[1.0, 3.0]]]])
        >>> point_sample(features, torch.tensor([[[0.5, 0.5]]])).item()
        2.0
    """
    grid = points[:, :, None] if points.dim() == 3 else points
    sampled = F.grid_sample(features, 2 * grid - 1, align_corners=align_corners, **kwargs)
    return sampled[..., 0] if points.dim() == 3 else sampled


def bilinear_corners(x: Tensor, y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The four pixels around each position and their weights, by the rule of RoI Align.

    Positions up to one pixel outside take the border's value; beyond that they count as zero.

    Args:
        x: position in pixels, any shape ``(...)``; 0 is the centre of the first pixel.
        y: likewise.

    Returns:
        index ``y * width + x`` of the pixels ``(..., 4)`` and their weights ``(..., 4)``, which
        differentiate with respect to the position.
    """
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.detach().floor(), y.detach().floor()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    to_right, to_bottom = x - left, y - top
    index = torch.stack(
        [top * width + left, top * width + right, bottom * width + left, bottom * width + right], -1
    )
    weight = torch.stack(
        [
            (1 - to_bottom) * (1 - to_right),
            (1 - to_bottom) * to_right,
            to_bottom * (1 - to_right),
            to_bottom * to_right,
        ],
        -1,
    )
    return torch.where(inside[..., None], index, 0).long(), torch.where(inside[..., None], weight, 0)


def weighted_pixel_sums(features: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums of feature vectors.

    Args:
        features: ``(B, C, H, W)``.
        index: ``(..., S)``, positions in the flattened ``(B, H, W)``.
        weight: ``(..., S)``.

    Returns:
        ``(..., C)``; differentiates with respect to ``features`` and ``weight`` without holding the S
        vectors of each sum in memory.
    """
    table = features.permute(0, 2, 3, 1).flatten(0, 2)  # (B * H * W, C)
    sums = F.embedding_bag(
        index.flatten(0, -2), table.contiguous(), mode="sum", per_sample_weights=weight.flatten(0, -2)
    )
    return sums.unflatten(0, index.shape[:-1])


register_backend("point_sample", "torch", implementation=point_sample)
