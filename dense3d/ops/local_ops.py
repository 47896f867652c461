"""Operators of mmcv on the neighbourhood of each position, in torch on any device.

Convolution at selected positions (Wang et al., "Region Proposal by Guided Anchoring", CVPR 2019), point-wise
spatial attention (Zhao et al., "PSANet", ECCV 2018), content-aware upsampling (Wang et al., "CARAFE", ICCV
2019).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.utils import _pair as pair

from dense3d.ops.dispatch import register_backend

PSA_TYPES = ("collect", "distribute")


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


def psa_mask(x: Tensor, psa_type: str, mask_size: tuple[int, int]) -> Tensor:
    """Attention between all pairs of positions, from one mask around each position.

    Args:
        x: ``(B, mh * mw, H, W)``: at every position the weights of the positions around it.
        psa_type: ``"collect"``: a position receives by its own mask; ``"distribute"``: it gives by it.
        mask_size: ``(mh, mw)``, odd.

    Returns:
        ``(B, H * W, H, W)``: with ``"collect"`` at channel p and position q the weight of p for q, with
        ``"distribute"`` the weight of q for p; zero where p lies outside of q's mask.

    Raises:
        ValueError: ``psa_type`` is another word, or the number of channels is another.

    Example:
        >>> x = torch.arange(6.0).reshape(1, 3, 1, 2)  # masks of 1 x 3 at two positions
        >>> psa_mask(x, "collect", (1, 3)).flatten(1, 2)[0].tolist()
        [[2.0, 1.0], [4.0, 3.0]]
    """
    if psa_type not in PSA_TYPES:
        raise ValueError(f"psa_type must be one of {PSA_TYPES}, not {psa_type!r}")
    (mask_h, mask_w), (height, width) = mask_size, x.shape[2:]
    if x.shape[1] != mask_h * mask_w:
        raise ValueError(
            f"x has {x.shape[1]} channels, a mask of {mask_h} x {mask_w} needs {mask_h * mask_w}"
        )
    down = _differences(height, x.device)[:, None, :, None] + (mask_h - 1) // 2  # (H, 1, H, 1)
    right = _differences(width, x.device)[None, :, None, :] + (mask_w - 1) // 2  # (1, W, 1, W)
    inside = (down >= 0) & (down < mask_h) & (right >= 0) & (right < mask_w)
    channel = (down * mask_w + right).where(inside, 0)  # (H, W, H, W): other position, own position
    index = channel.flatten(0, 1).expand(len(x), -1, -1, -1)
    attention = x.gather(1, index) * inside.flatten(0, 1)
    if psa_type == "distribute":
        attention = attention.flatten(2).transpose(1, 2).reshape(attention.shape).contiguous()
    return attention


def _differences(size: int, device: torch.device) -> Tensor:
    """``other - own`` for all pairs of positions ``(size, size)``."""
    positions = torch.arange(size, device=device)
    return positions[:, None] - positions[None]


register_backend("psa_mask", "torch", implementation=psa_mask)


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
