"""Deformable convolution against ordinary convolution, its torch reference and gradcheck."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d import ops
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


def test_shapes_that_do_not_fit_are_named():
    x, offset, mask, weight, _ = case(GEOMETRIES[0])
    with pytest.raises(ValueError, match="x has 8 channels"):
        ops.deform_conv2d(x, offset, weight, groups=2)
    with pytest.raises(ValueError, match=r"offset has 12 channels.*need 24"):
        ops.deform_conv2d(x, offset, weight, deform_groups=2)
    with pytest.raises(ValueError, match=r"mask has 5 channels.*need 6"):
        ops.modulated_deform_conv2d(x, offset, mask[:, :5], weight)
