"""Deformable convolution against ordinary convolution, its torch reference and gradcheck."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from dense3d import ops
from dense3d.ops import deform_conv
from dense3d.ops.dispatch import select_backend

GEOMETRIES = [
    {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, "deform_groups": 1},
    {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2), "groups": 2, "deform_groups": 2},
    {"stride": 2, "padding": 1, "dilation": 2, "groups": 4, "deform_groups": 1},
]


def case(geometry: dict, dtype=torch.float32, shift: float = 2.0) -> list[torch.Tensor]:
    """x, offset, mask, weight and bias of matching shapes; offsets reach beyond the borders."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    x, weight = randn(2, 8, 9, 10), randn(4, 8 // geometry["groups"], 3, 2)
    convolution = {k: v for k, v in geometry.items() if k != "deform_groups"}
    height, width = F.conv2d(x, weight, **convolution).shape[2:]
    taps = 6 * geometry["deform_groups"]
    offset, mask = shift * randn(2, 2 * taps, height, width), randn(2, taps, height, width).sigmoid()
    return [x, offset, mask, weight, randn(4)]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_without_offsets_it_is_a_convolution(geometry):
    x, offset, mask, weight, bias = case(geometry, shift=0.0)
    convolution = {k: v for k, v in geometry.items() if k != "deform_groups"}
    expected = F.conv2d(x, weight, bias, **convolution)
    y = ops.modulated_deform_conv2d(x, offset, torch.ones_like(mask), weight, bias, **geometry)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    y = ops.deform_conv2d(x, offset, weight, **geometry)
    torch.testing.assert_close(y, expected - bias[:, None, None], rtol=1e-4, atol=1e-4)


def test_offset_of_whole_pixels_shifts_the_image():
    x, offset, _, weight, _ = case(GEOMETRIES[0], shift=0.0)
    offset[:, 0::2], offset[:, 1::2] = 1, -2  # y, then x
    shifted = F.pad(x, (2, 0, 0, 1))[:, :, 1:, : x.shape[3]]
    y = ops.deform_conv2d(x, offset, weight, padding=1)
    expected = F.conv2d(shifted, weight, padding=1)
    inner = (..., slice(1, -2), slice(3, -1))  # away from the borders, where zeros stand for other pixels
    torch.testing.assert_close(y[inner], expected[inner], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("modulated", [True, False])
def test_equals_the_reference_in_value_and_gradient(geometry, modulated):
    results = []
    for backend in ("torchvision", "reference"):
        tensors = [t.requires_grad_() for t in case(geometry, torch.float64)]
        if not modulated:
            tensors[2] = tensors[4] = None
        implementation = select_backend("deform_conv2d", "cpu", backend).implementation
        both = [g if isinstance(g, tuple) else (g, g) for g in list(geometry.values())[:3]]
        y = implementation(*tensors, *both)
        seed = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view_as(y)
        results.append((y, torch.autograd.grad(y, [t for t in tensors if t is not None], seed)))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("geometry", GEOMETRIES[:2])
def test_differentiates(geometry):
    x, offset, mask, weight, bias = case(geometry, torch.float64)
    tensors = [t.requires_grad_() for t in (x[:1, :, :5, :5], offset[:1], mask[:1], weight, bias)]
    small = F.conv2d(tensors[0], weight, **{k: v for k, v in geometry.items() if k != "deform_groups"})
    tensors[1] = offset[:1, :, : small.shape[2], : small.shape[3]].detach().requires_grad_()
    tensors[2] = mask[:1, :, : small.shape[2], : small.shape[3]].detach().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *t: ops.modulated_deform_conv2d(*t, **geometry), tensors, fast_mode=True
    )
    assert torch.autograd.gradcheck(
        lambda x, offset, weight: ops.deform_conv2d(x, offset, weight, **geometry),
        [tensors[0], tensors[1], tensors[3]],
        fast_mode=True,
    )


def test_half_precision_offsets_from_autocast():
    x, offset, mask, weight, bias = case(GEOMETRIES[0])
    y = ops.modulated_deform_conv2d(x, offset.half(), mask.half(), weight, bias, padding=1)
    assert y.dtype == torch.float16
    expected = ops.modulated_deform_conv2d(x, offset, mask, weight, bias, padding=1)
    torch.testing.assert_close(y.float(), expected, rtol=1e-2, atol=5e-2)


def mmcv_columns(x, offset, mask, kernel, stride, padding, dilation, deform_groups) -> torch.Tensor:
    """What mmcv's kernel gathers, element by element as its loops do: ``(B, C, kh * kw, H', W')``.

    The output's size follows from ``x``; ``offset`` and ``mask`` are flat memory from each image's start.
    """
    (batch, channels, height, width), taps = x.shape, kernel[0] * kernel[1]
    out = [(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip((height, width), kernel)]
    columns = x.new_zeros(batch, channels, taps, *out)
    for b, c, i, j, h, w in itertools.product(*map(range, (batch, channels, *kernel, *out))):
        tap, group = i * kernel[1] + j, c // (channels // deform_groups)
        memory, factors = offset[b].reshape(-1), mask[b].reshape(-1)
        place = ((group * taps + tap) * 2 * out[0] + h) * out[1] + w
        y = h * stride - padding + i * dilation + memory[place]
        x_ = w * stride - padding + j * dilation + memory[place + out[0] * out[1]]
        if y > -1 and x_ > -1 and y < height and x_ < width:
            factor = factors[((group * taps + tap) * out[0] + h) * out[1] + w]
            columns[b, c, tap, h, w] = factor * bilinear(x[b, c], y, x_)
    return columns


def bilinear(plane: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """With zeros around the plane."""
    top, left = int(y.floor()), int(x.floor())
    total = 0
    for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, right in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                total = total + plane[row, column] * down * right
    return total


@pytest.mark.parametrize("larger", [(4, 4), (8, 6), (3, 6)])
@pytest.mark.parametrize("backend", ["torchvision", "reference"])
def test_a_larger_offset_is_read_as_flat_memory(larger, backend, monkeypatch):
    """mmdet's DyHead gives a level's offset to the convolution of the next, smaller level."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    x, weight, bias = randn(2, 4, 4, 3), randn(6, 4, 3, 3), randn(6)  # an output of 4 x 3
    offset, mask = randn(2, 36, *larger), randn(2, 18, *larger)
    leaves = (x, offset, mask, weight, bias)
    implementation = select_backend("modulated_deform_conv2d", "cpu", backend)
    monkeypatch.setattr(deform_conv, "select_backend", lambda *_: implementation)
    y = ops.modulated_deform_conv2d(*leaves, padding=1, deform_groups=2)
    columns = mmcv_columns(x, offset, mask, (3, 3), 1, 1, 1, deform_groups=2)
    expected = torch.einsum("ock,bckhw->bohw", weight.flatten(2), columns) + bias[:, None, None]
    assert y.shape == (2, 6, 4, 3)
    seed = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view_as(y)
    torch.testing.assert_close(y, expected)
    gradients, truth = (torch.autograd.grad(out, leaves, seed) for out in (y, expected))
    torch.testing.assert_close(gradients, truth)


@pytest.mark.parametrize("modulated", [True, False])
@pytest.mark.parametrize("backend", ["torchvision", "reference"])
def test_taps_on_minus_one_have_no_offset_gradient(modulated, backend, monkeypatch):
    """Offsets that begin at zero put every tap of the padding exactly there; mmcv's gradient is 0."""
    implementation = select_backend("deform_conv2d", "cpu", backend)
    monkeypatch.setattr(deform_conv, "select_backend", lambda *_: implementation)
    x, weight = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3)
    offset = torch.zeros(1, 18, 3, 3, requires_grad=True)
    if modulated:
        y = ops.modulated_deform_conv2d(x, offset, torch.ones(1, 9, 3, 3), weight, padding=1)
    else:
        y = ops.deform_conv2d(x, offset, weight, padding=1)
    y.sum().backward()
    by_tap = offset.grad.view(3, 3, 2, 3, 3)  # (tap row, tap column, y and x, row, column)
    torch.testing.assert_close(y, F.conv2d(x, weight, padding=1))
    # the cell behind a tap on pixel 2 of 0..2 falls from 1 to 0; everywhere else the image is flat
    position = torch.arange(3)[:, None] + torch.arange(3) - 1  # (tap, output)
    falls, reads = -(position == 2).float(), ((position >= 0) & (position <= 2)).float()
    expected_y = falls[:, None, :, None] * reads[None, :, None, :]
    torch.testing.assert_close(by_tap[:, :, 0], expected_y)
    torch.testing.assert_close(by_tap[:, :, 1], expected_y.transpose(0, 1).transpose(2, 3))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
@pytest.mark.parametrize("backend", ["torchvision", "reference"])
def test_a_tap_nowhere_reads_zero(value, backend, monkeypatch):
    """torchvision's kernel ends the process at an offset that is not a number."""
    implementation = select_backend("deform_conv2d", "cpu", backend)
    monkeypatch.setattr(deform_conv, "select_backend", lambda *_: implementation)
    offset = torch.zeros(1, 18, 5, 5)
    offset[:, 0] = value  # y of the first tap
    offset.requires_grad_()
    x, weight = torch.rand(1, 2, 5, 5), torch.rand(3, 2, 3, 3)
    y = ops.deform_conv2d(x, offset, weight, padding=1)
    y.sum().backward()
    weight[:, :, 0, 0] = 0
    torch.testing.assert_close(y, F.conv2d(x, weight, padding=1))
    assert (offset.grad[:, :2] == 0).all() and offset.grad.isfinite().all()


def test_shapes_that_do_not_fit_are_named():
    x, offset, mask, weight, _ = case(GEOMETRIES[0])
    with pytest.raises(ValueError, match=r"offset \(2, 12, 9, 3\) is too small for 2 images of 7 x 9"):
        ops.modulated_deform_conv2d(x, offset[..., :3], mask, weight)
    with pytest.raises(ValueError, match=r"mask \(1, 6, 9, 11\) is too small for 2 images"):
        ops.modulated_deform_conv2d(x, offset, mask[:1], weight, padding=1)
    with pytest.raises(ValueError, match=r"offset is .* but the output has 2 images of 7 x 9 positions"):
        ops.deform_conv2d(x, offset, weight)
    with pytest.raises(ValueError, match="too small for a convolution that reaches over 3 x 2 pixels"):
        ops.deform_conv2d(x[:, :, :2], offset, weight)
    with pytest.raises(ValueError, match=r"x must be \(B, C, H, W\)"):
        ops.deform_conv2d(x[0], offset, weight)
    with pytest.raises(ValueError, match="x has 8 channels"):
        ops.deform_conv2d(x, offset, weight, groups=2)
    with pytest.raises(ValueError, match=r"offset has 12 channels.*need 24"):
        ops.deform_conv2d(x, offset, weight, deform_groups=2)
    with pytest.raises(ValueError, match=r"mask has 5 channels.*need 6"):
        ops.modulated_deform_conv2d(x, offset, mask[:, :5], weight)
