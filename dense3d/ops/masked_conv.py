"""Convolution at selected positions only (Wang et al., "Region Proposal by Guided Anchoring", CVPR 2019)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.utils import _pair as pair

from dense3d.ops.dispatch import register_backend


def masked_conv2d(
    x: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int | tuple[int, int] = 0
) -> Tensor:
    """Convolution with stride 1 where ``mask`` is positive, zero elsewhere.

    Args:
        x: ``(B, C, H, W)``.
        mask: ``(B, H, W)``.
        weight: ``(C', C, kh, kw)``.
        bias: ``(C',)`` or ``None``.
        padding: must keep the size, so that the mask belongs to the output too.

    Returns:
        ``(B, C', H, W)``; unlike mmcv's it differentiates.

    Raises:
        ValueError: the padding does not keep the size.

    Example:
        >>> import torch
        >>> x, mask = torch.ones(1, 1, 2, 2), torch.tensor([[[1, 0], [0, 1]]])
        >>> masked_conv2d(x, mask, torch.full((1, 1, 1, 1), 3.0))[0, 0].tolist()
        [[3.0, 0.0], [0.0, 3.0]]
    """
    kernel, (pad_h, pad_w) = weight.shape[2:], pair(padding)
    if (2 * pad_h + 1, 2 * pad_w + 1) != tuple(kernel):
        raise ValueError(f"padding {(pad_h, pad_w)} does not keep the size with a kernel of {tuple(kernel)}")
    batch, row, column = (mask > 0).nonzero(as_tuple=True)
    patches = masked_patches(x, batch, row, column, kernel, (pad_h, pad_w))  # (P, C * kh * kw)
    values = F.linear(patches, weight.flatten(1), bias)  # (P, C')
    y = x.new_zeros(len(x), *x.shape[2:], len(weight))
    return y.index_put((batch, row, column), values.to(y)).permute(0, 3, 1, 2).contiguous()


def masked_patches(
    x: Tensor, batch: Tensor, row: Tensor, column: Tensor, kernel: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """What the kernel sees at each position: ``(P, C * kh * kw)``."""
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = padded.unfold(2, kernel[0], 1).unfold(3, kernel[1], 1)  # (B, C, H, W, kh, kw), a view
    return windows[batch, :, row, column].flatten(1)


register_backend("masked_conv2d", "torch", implementation=masked_conv2d)
