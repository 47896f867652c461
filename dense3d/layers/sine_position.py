"""Sine positions: of numbers, of the cells of a map, of boxes that move as queries.

Vaswani et al., "Attention Is All You Need", 2017; Carion et al., "DETR", ECCV 2020; Liu et al., "DAB-DETR",
ICLR 2022.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPS = 1e-6  # DETR's, which is added to a map's sides


def sine_frequencies(num_features: int, temperature: float, scale: float, like: Tensor) -> Tensor:
    """``scale / temperature ** (2m / F)`` for m = 0 ... F / 2 - 1, with F ``num_features``: ``(F / 2,)``."""
    exponent = torch.arange(0, num_features, 2, dtype=like.dtype, device=like.device) / num_features
    return scale / temperature**exponent


def sine_features(
    values: Tensor, num_features: int, temperature: float = 10000.0, scale: float = 2 * math.pi
) -> Tensor:
    """Sine and cosine of each value, in turns, at falling frequencies.

    Args:
        values: ``(..., K)``.
        num_features: features of one value, an even number.
        temperature: ratio of the highest frequency to the one that would follow the lowest.
        scale: highest frequency.

    Returns:
        ``(..., K * num_features)``, all features of the first value first.

    Example:
        >>> sine_features(torch.tensor([0.0, 1.0]), 4).shape
        torch.Size([8])
    """
    angles = values.unsqueeze(-1) * sine_frequencies(num_features, temperature, scale, values)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-3)


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


def box_position(boxes: Tensor, channels: int) -> Tensor:
    """Sine features of boxes that queries stand for, y before x.

    Args:
        boxes: ``(..., K)`` in [0, 1], K at least 2: x and y of a centre, then sizes or distances.
        channels: of one number of a box.

    Returns:
        ``(..., K * channels)``.

    Example:
        >>> box_position(torch.rand(2, 5, 6), 128).shape
        torch.Size([2, 5, 768])
    """
    return sine_features(torch.cat((boxes[..., [1, 0]], boxes[..., 2:]), dim=-1), channels)
