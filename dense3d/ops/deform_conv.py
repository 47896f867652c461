"""Deformable convolution, and its modulated form with a mask.

Dai et al., "Deformable Convolutional Networks", ICCV 2017; Zhu et al., "Deformable ConvNets v2", CVPR 2019.
A tap reads zeros where it lies a whole pixel or more outside, and there its offset has no gradient: at -1
too, where torchvision's gradient is that of the side towards the image.
"""

from __future__ import annotations

import math

import torch
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
        offset: ``(B, deform_groups * kh * kw * 2, H', W')``, y before x, in pixels. As with mmcv it may be
            larger than the output; the first values of each image are then read as if they had its size,
            which is how mmdet's DyHead uses it.
        mask: ``(B, deform_groups * kh * kw, H', W')``, or larger likewise.
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
    geometry = pair(stride), pair(padding), pair(dilation)
    out_size = _output_size(x, weight, *geometry)
    _check_channels(x, offset, mask, weight, groups, deform_groups)
    if mask is None:
        _check_offset_size(offset, (len(x), *out_size))
    else:
        offset, mask = (_read_flat(t, name, x, out_size) for t, name in ((offset, "offset"), (mask, "mask")))
    operator = "deform_conv2d" if mask is None else "modulated_deform_conv2d"
    implementation = select_backend(operator, x.device.type).implementation
    # torchvision's kernels know float32 and float64; half precision is computed in float32
    dtype = offset.dtype if offset.dtype in (torch.float32, torch.float64) else torch.float32
    tensors = (None if t is None else t.to(dtype) for t in (x, offset, mask, weight, bias))
    return implementation(*tensors, *geometry).to(offset.dtype)


def _output_size(x, weight, stride, padding, dilation) -> tuple[int, int]:
    if x.dim() != 4:
        raise ValueError(f"x must be (B, C, H, W), not {tuple(x.shape)}")
    reach = [dilation[i] * (weight.shape[2 + i] - 1) + 1 for i in range(2)]
    size = [(x.shape[2 + i] + 2 * padding[i] - reach[i]) // stride[i] + 1 for i in range(2)]
    if min(size) < 1:
        raise ValueError(
            f"x of {x.shape[2]} x {x.shape[3]} pixels is too small for a convolution that reaches over "
            f"{reach[0]} x {reach[1]} pixels with padding {padding}"
        )
    return size[0], size[1]


def _check_channels(x, offset, mask, weight, groups, deform_groups) -> None:
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


def _check_offset_size(offset: Tensor, wanted: tuple[int, int, int]) -> None:
    """``wanted`` is images, height and width of the output."""
    if (offset.shape[0], *offset.shape[2:]) != wanted:
        raise ValueError(
            f"offset is {tuple(offset.shape)}, but the output has {wanted[0]} images of {wanted[1]} x "
            f"{wanted[2]} positions"
        )


def _read_flat(tensor: Tensor, name: str, x: Tensor, out_size: tuple[int, int]) -> Tensor:
    """``tensor`` in the output's size: each image's first values, as mmcv reads them without a check."""
    if tensor.shape[0] == len(x) and tensor.shape[2:] == out_size:
        return tensor
    values, needed = tensor.flatten(1), tensor.shape[1] * math.prod(out_size)
    if len(tensor) != len(x) or values.shape[1] < needed:
        raise ValueError(
            f"{name} {tuple(tensor.shape)} is too small for {len(x)} images of {out_size[0]} x {out_size[1]} "
            f"output positions"
        )
    return values[:, :needed].unflatten(1, (tensor.shape[1], *out_size))


def _deform_conv2d_torchvision(x, offset, mask, weight, bias, stride, padding, dilation) -> Tensor:
    """Taps outside are moved to -2: torchvision has a gradient at -1, and reads any memory at NaN."""
    still = _still_positions(offset, weight, stride, padding, dilation)
    position = still + offset.unflatten(1, (-1, *still.shape[:2]))
    size = torch.tensor(x.shape[2:], device=x.device)[:, None, None]
    inside = (position > -1) & (position < size)
    offset = torch.where(inside, offset.reshape(position.shape), -2 - still).flatten(1, 3)
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
    """Both forms in torch: every tap is a weighted sum of four pixels; it defines the result."""
    batch, channels, height, width = x.shape
    out_h, out_w = offset.shape[2:]
    taps = weight.shape[2] * weight.shape[3]
    deform_groups = offset.shape[1] // (2 * taps)
    still = _still_positions(offset, weight, stride, padding, dilation)
    ys, xs = (still + offset.unflatten(1, (-1, taps, 2))).unbind(3)  # (B, G, taps, H', W')
    grouped = x.reshape(batch, deform_groups, channels // deform_groups, height * width)
    columns = _zero_padded_samples(grouped, ys.flatten(2), xs.flatten(2), height, width)
    columns = columns.unflatten(3, (taps, -1))  # (B, G, C / G, taps, H' * W')
    if mask is not None:
        columns = columns * mask.reshape(batch, deform_groups, 1, taps, -1)
    groups = channels // weight.shape[1]
    columns = columns.reshape(batch, groups, weight.shape[1] * taps, -1)
    y = weight.view(groups, -1, weight.shape[1] * taps) @ columns  # (B, groups, C' / groups, H' * W')
    y = y.view(batch, -1, out_h, out_w)
    return y if bias is None else y + bias[:, None, None]


def _zero_padded_samples(features: Tensor, ys: Tensor, xs: Tensor, height: int, width: int) -> Tensor:
    """Bilinear samples ``(B, G, C, P)`` of ``(B, G, C, H * W)`` at pixel positions ``(B, G, P)``."""
    inside = (ys > -1) & (ys < height) & (xs > -1) & (xs < width)
    ys, xs = torch.where(inside, ys, -2), torch.where(inside, xs, -2)
    top, left = ys.detach().floor(), xs.detach().floor()
    samples = 0
    for row, down in ((top, 1 - (ys - top)), (top + 1, ys - top)):
        for column, right in ((left, 1 - (xs - left)), (left + 1, xs - left)):
            exists = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = torch.where(exists, row * width + column, 0).long()  # (B, G, P)
            pixels = features.gather(3, index[:, :, None].expand(-1, -1, features.shape[2], -1))
            samples = samples + pixels * torch.where(exists, down * right, 0)[:, :, None]
    return samples


def _still_positions(offset: Tensor, weight: Tensor, stride, padding, dilation) -> Tensor:
    """Where the taps read without an offset ``(taps, 2, H', W')``, y before x."""
    kernel, out_size = weight.shape[2:], offset.shape[2:]

    def along(axis: int) -> Tensor:
        starts = torch.arange(out_size[axis], device=offset.device) * stride[axis] - padding[axis]
        return torch.arange(kernel[axis], device=offset.device)[:, None] * dilation[axis] + starts  # (k, out)

    ys = along(0)[:, None, :, None].expand(*kernel, *out_size)
    xs = along(1)[None, :, None, :].expand(*kernel, *out_size)
    return torch.stack([ys, xs], 2).flatten(0, 1).to(offset)


for _operator in ("deform_conv2d", "modulated_deform_conv2d"):
    register_backend(_operator, "torchvision", implementation=_deform_conv2d_torchvision)
    register_backend(_operator, "reference", implementation=deform_conv2d_reference)
