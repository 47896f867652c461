"""Sine positions of maps and of anchors (Carion et al., "DETR", 2020; Liu et al., "DAB-DETR", 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.layers.position_relation import sine_features

EPS = 1e-6


def map_position(shape: tuple[int, int], channels: int, device: torch.device | None = None) -> Tensor:
    """Position of every cell of a map without padding, ``(h * w, channels)`` row by row.

    Half of the channels encode the row, half the column; cells count from 1, the last is at 2 pi.

    Args:
        shape: height and width.
        channels: a multiple of four.
        device: of the result.

    Example:
        >>> map_position((2, 3), 8).shape
        torch.Size([6, 8])
    """
    y, x = (torch.arange(1, size + 1, device=device) / (size + EPS) for size in shape)
    cells = torch.cartesian_prod(y, x)  # (h * w, 2)
    return sine_features(cells, channels // 2)


def anchor_position(anchors: Tensor, channels: int) -> Tensor:
    """Sine features of anchors, in the order (cy, cx, l, r, t, b).

    Args:
        anchors: ``(..., 6)`` as (cx, cy, l, r, t, b) in [0, 1].
        channels: of one number of an anchor.

    Returns:
        ``(..., 6 * channels)``.

    Example:
        >>> anchor_position(torch.rand(2, 5, 6), 128).shape
        torch.Size([2, 5, 768])
    """
    return sine_features(anchors[..., [1, 0, 2, 3, 4, 5]], channels)
