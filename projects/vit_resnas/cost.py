"""Multiply-adds of a ViT-ResNAS: of convolutions, linear layers and the products of attention."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from dense3d.layers.spatial_reduction import PATCH


def multiply_adds(arch: Mapping, image_size: int = 224, num_classes: int = 1000, in_channels: int = 3) -> int:
    """Of one square image, with one class token and the linear layer of its class.

    Args:
        arch: as :class:`dense3d.backbones.ViTResNAS` takes it, with ``embed_channels``.
        image_size: side, a multiple of the last stride.
        num_classes, in_channels: of the head and the images.

    Example:
        >>> multiply_adds(dict(dims=(8,), blocks=((),), embed_channels=None), 28, 10)
        18896
    """
    dims, middle = arch["dims"], arch["embed_channels"]
    side = image_size // PATCH
    if middle is None:
        total = in_channels * dims[0] * (PATCH * side) ** 2
    else:
        pixels = (image_size // 2) ** 2
        total = 9 * middle * (in_channels + 2 * middle) * pixels + middle * dims[0] * (PATCH // 2 * side) ** 2
    for number, (dim, blocks) in enumerate(zip(dims, arch["blocks"])):
        tokens = 1 + (side >> number) ** 2
        for heads, head_dim, hidden in blocks:
            inner = heads * head_dim
            total += tokens * dim * (4 * inner + 2 * hidden) + 2 * tokens**2 * inner
    for number, (before, after) in enumerate(pairwise(dims), start=1):
        total += before * after * (9 * (side >> number) ** 2 + 1)
    return total + dims[-1] * num_classes
