"""How the official code resizes images for evaluation, to the pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def evaluation_size(height: int, width: int, min_size: int = 800, max_size: int = 1333) -> tuple[int, int]:
    """Height and width after resizing: short side ``min_size``, but long side at most ``max_size``.

    Products are truncated in float32, so some sides come out a pixel short.

    Example:
        >>> evaluation_size(375, 500)
        (799, 1066)
    """
    sides = torch.tensor([height, width], dtype=torch.float32)
    scale = torch.minimum(min_size / sides.min(), max_size / sides.max())
    new_height, new_width = (sides * scale).long().tolist()
    return new_height, new_width


def evaluation_resize(image: Tensor, min_size: int = 800, max_size: int = 1333) -> Tensor:
    """Antialiased bilinear resize of an image ``(3, H, W)`` to :func:`evaluation_size`."""
    size = evaluation_size(image.shape[-2], image.shape[-1], min_size, max_size)
    resized = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
    # torch's own kernel for integers computes with fewer bits: its results may be off by one.
    return resized.round().clamp(0, 255).to(image.dtype) if image.dtype == torch.uint8 else resized
