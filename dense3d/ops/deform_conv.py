"""Deformable convolution, and its modulated form with a mask.

Dai et al., "Deformable Convolutional Networks", ICCV 2017; Zhu et al., "Deformable ConvNets v2", CVPR 2019.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torch.nn.modules.utils import _pair as pair

from dense3d.ops.dispatch import register_backend, select_backend

Size = int | tuple[int, int]


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """Convolution that reads each of its taps at a displaced position, by bilinear interpolation.

    Args:
        x: ``(B, C, H, W)``.
        offset: ``(B, deform_groups * kh * kw * 2, H', W')``, y before x, in pixels.
        weight: ``(C', C / groups, kh, kw)``.
        stride, padding, dilation, groups: as in :func:`torch.nn.functional.conv2d`.
        deform_groups: groups of input channels that share their offsets.

    Returns:
        ``(B, C', H', W')`` in the type of ``offset``, which autocast may have lowered.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        >>> x, weight = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
        >>> still = deform_conv2d(x, torch.zeros(1, 18, 3, 3), weight)
        >>> torch.allclose(still, torch.nn.functional.conv2d(x, weight), atol=1e-5)
        True
    """
    return _deform_conv2d(x, offset, None, weight, None, stride, padding, dilation, groups, deform_groups)


def modulated_deform_conv2d(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """:func:`deform_conv2d` whose taps are each multiplied by a factor.

    Args:
        x: ``(B, C, H, W)``.
        offset: ``(B, deform_groups * kh * kw * 2, H', W')``, y before x, in pixels.
        mask: ``(B, deform_groups * kh * kw, H', W')``.
        weight: ``(C', C / groups, kh, kw)``.
        bias: ``(C',)`` or ``None``.
        stride, padding, dilation, groups, deform_groups: as in :func:`deform_conv2d`.

    Returns:
        ``(B, C', H', W')`` in the type of ``offset``, which autocast may have lowered.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        >>> x, weight = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
        >>> half = modulated_deform_conv2d(x, torch.zeros(1, 18, 3, 3), torch.full((1, 9, 3, 3), 0.5), weight)
        >>> torch.allclose(half, torch.nn.functional.conv2d(x, weight) / 2, atol=1e-5)
        True
    """
    return _deform_conv2d(x, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups)


def _deform_conv2d(x, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups) -> Tensor:
    _check_shapes(x, offset, mask, weight, groups, deform_groups)
    operator = "deform_conv2d" if mask is None else "modulated_deform_conv2d"
    implementation = select_backend(operator, x.device.type).implementation
    # torchvision's kernels know float32 and float64; half precision is computed in float32
    dtype = offset.dtype if offset.dtype in (torch.float32, torch.float64) else torch.float32
    tensors = (None if t is None else t.to(dtype) for t in (x, offset, mask, weight, bias))
    y = implementation(*tensors, pair(stride), pair(padding), pair(dilation))
    return y.to(offset.dtype)


def _check_shapes(x, offset, mask, weight, groups, deform_groups) -> None:
    taps = weight.shape[2] * weight.shape[3]
    if x.shape[1] != weight.shape[1] * groups:
        raise ValueError(
            f"x has {x.shape[1]} channels, but weight {tuple(weight.shape)} with {groups} groups needs "
            f"{weight.shape[1] * groups}"
        )
    if offset.shape[1] != 2 * taps * deform_groups:
        raise ValueError(
            f"offset has {offset.shape[1]} channels, but {deform_groups} deform_groups of {taps} taps need "
            f"{2 * taps * deform_groups}"
        )
    if mask is not None and mask.shape[1] != taps * deform_groups:
        raise ValueError(
            f"mask has {mask.shape[1]} channels, but {deform_groups} deform_groups of {taps} taps need "
            f"{taps * deform_groups}"
        )


def _deform_conv2d_torchvision(x, offset, mask, weight, bias, stride, padding, dilation) -> Tensor:
    return torchvision.ops.deform_conv2d(x, offset, weight, bias, stride, padding, dilation, mask)


def deform_conv2d_reference(
    x: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """Both forms in torch: every tap is a ``grid_sample`` at displaced positions; it defines the result."""
    batch, channels, height, width = x.shape
    out_h, out_w = offset.shape[2:]
    taps = weight.shape[2] * weight.shape[3]
    deform_groups = offset.shape[1] // (2 * taps)
    position = _tap_positions(weight.shape[2:], (out_h, out_w), stride, padding, dilation, x)
    position = position + offset.view(batch, deform_groups, taps, 2, out_h, out_w)  # (B, G, taps, 2, H', W')
    ys, xs = position.flatten(0, 1).unbind(2)  # (B * G, taps, H', W')
    grid = torch.stack([2 * xs / max(width - 1, 1) - 1, 2 * ys / max(height - 1, 1) - 1], -1)
    grouped = x.reshape(batch * deform_groups, channels // deform_groups, height, width)
    columns = F.grid_sample(grouped, grid.flatten(2, 3), align_corners=True)  # (B * G, C / G, taps, H' * W')
    columns = columns.view(batch, deform_groups, channels // deform_groups, taps, -1)
    if mask is not None:
        columns = columns * mask.view(batch, deform_groups, 1, taps, -1)
    groups = channels // weight.shape[1]
    columns = columns.reshape(batch, groups, weight.shape[1] * taps, -1)
    y = weight.view(groups, -1, weight.shape[1] * taps) @ columns  # (B, groups, C' / groups, H' * W')
    y = y.view(batch, -1, out_h, out_w)
    return y if bias is None else y + bias[:, None, None]


def _tap_positions(kernel, out_size, stride, padding, dilation, like: Tensor) -> Tensor:
    """Where the taps read without an offset ``(taps, 2, H', W')``, y before x."""

    def along(axis: int) -> Tensor:
        starts = torch.arange(out_size[axis], device=like.device) * stride[axis] - padding[axis]
        return torch.arange(kernel[axis], device=like.device)[:, None] * dilation[axis] + starts  # (k, out)

    ys = along(0)[:, None, :, None].expand(*kernel, *out_size)
    xs = along(1)[None, :, None, :].expand(*kernel, *out_size)
    return torch.stack([ys, xs], 2).flatten(0, 1).to(like)


for _operator in ("deform_conv2d", "modulated_deform_conv2d"):
    register_backend(_operator, "torchvision", implementation=_deform_conv2d_torchvision)
    register_backend(_operator, "reference", implementation=deform_conv2d_reference)
