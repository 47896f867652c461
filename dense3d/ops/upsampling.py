"""Content-aware upsampling (Wang et al., "CARAFE: Content-Aware ReAssembly of FEatures", ICCV 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops.dispatch import register_backend


def carafe(features: Tensor, masks: Tensor, kernel_size: int, group_size: int, scale_factor: int) -> Tensor:
    """Each output pixel is a weighted sum of the neighbourhood of the input pixel that it falls into.

    Args:
        features: ``(B, C, H, W)``.
        masks: the weights ``(B, group_size * kernel_size^2, s * H, s * W)``, s being ``scale_factor``.
        kernel_size: side of the neighbourhood, odd; outside of the features it is zero.
        group_size: groups of channels that have weights of their own.
        scale_factor: of the upsampling.

    Returns:
        ``(B, C, s * H, s * W)``.

    Raises:
        ValueError: the shape of ``masks`` is another.

    Example:
        >>> features = torch.tensor([[[[1.0, 2.0]]]])
        >>> carafe(features, torch.ones(1, 1, 2, 4), 1, 1, 2)[0, 0].tolist()
        [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]
    """
    batch, channels, height, width = features.shape
    taps = kernel_size**2
    wanted = (batch, group_size * taps, height * scale_factor, width * scale_factor)
    if tuple(masks.shape) != wanted:
        raise ValueError(f"masks must be {wanted} for these features, not {tuple(masks.shape)}")
    columns = F.unfold(features, kernel_size, padding=kernel_size // 2)
    columns = columns.view(batch, group_size, channels // group_size, taps, height, width)
    weights = masks.view(batch, group_size, taps, height, scale_factor, width, scale_factor)
    upsampled = torch.einsum("bgckhw,bgkhiwj->bgchiwj", columns, weights)
    return upsampled.reshape(batch, channels, height * scale_factor, width * scale_factor)


register_backend("carafe", "torch", implementation=carafe)
