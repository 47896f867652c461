"""Filters in the frequency domain: what they compute, at their own size and at others."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import ConfigError
from dense3d.layers.spectral_filter import GlobalFilter, resize_kernel, resize_spectrum


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1)])
def test_it_is_a_circular_convolution(size):
    layer, x = GlobalFilter(2, size), torch.randn(1, 2, *size)
    kernel = torch.fft.irfft2(torch.view_as_complex(layer.weight), s=size)
    expected = torch.zeros_like(x)
    for row in range(size[0]):
        for column in range(size[1]):
            shifted = x.roll((row, column), dims=(2, 3))
            expected += kernel[None, :, row, column, None, None] * shifted
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("resizing", ["kernel", "spectrum"])
def test_its_own_size_takes_the_weight_as_it_is(resizing):
    layer = GlobalFilter(3, (6, 5), resizing)
    assert torch.equal(layer.spectrum((6, 5)), torch.view_as_complex(layer.weight))


@pytest.mark.parametrize("target", [(9, 12), (8, 7), (7, 13), (15, 16)])
def test_a_kernel_in_the_middle_stays_the_same_on_larger_maps(target):
    """A map of zeros around an image, which the kernel does not reach over, changes nothing inside."""
    source = (6, 7)
    small = torch.zeros(1, 1, *source)
    small[0, 0, 2:4, 3] = torch.tensor([1.0, -2.0])
    kernel = torch.zeros(1, *source)
    kernel[0, :2, :2] = torch.randn(2, 2)
    kernel[0, -1, -1] = 0.5  # an offset of -1, -1
    layer = GlobalFilter(1, source)
    layer.weight.data = torch.view_as_real(torch.fft.rfft2(kernel))
    large = F.pad(small, (0, target[1] - source[1], 0, target[0] - source[0]))
    with torch.no_grad():
        found = layer(large)[..., : source[0], : source[1]]
        torch.testing.assert_close(found, layer(small), rtol=1e-4, atol=1e-5)


def test_resizing_there_and_back_is_exact():
    spectrum = torch.fft.rfft2(torch.randn(2, 6, 7))
    for target in ((9, 10), (6, 8), (12, 7)):
        back = resize_kernel(resize_kernel(spectrum, (6, 7), target), target, (6, 7))
        torch.testing.assert_close(back, spectrum, rtol=1e-4, atol=1e-4)


def test_a_constant_spectrum_stays_constant():
    weight = torch.tensor([2.0, 0.0]).expand(1, 4, 3, 2)
    assert torch.equal(resize_spectrum(weight, (7, 9)), torch.tensor([2.0, 0.0]).expand(1, 7, 9, 2))
    resized = resize_kernel(torch.view_as_complex(weight.contiguous()), (4, 4), (7, 9))
    torch.testing.assert_close(resized, torch.full((1, 7, 5), 2.0 + 0j))


def test_the_corners_of_an_interpolated_spectrum_are_kept():
    weight = torch.randn(2, 4, 3, 2)
    resized = resize_spectrum(weight, (9, 6))
    for row in (0, -1):
        for column in (0, -1):
            torch.testing.assert_close(resized[:, row, column], weight[:, row, column])


@pytest.mark.parametrize("size", [(6, 6), (9, 4)])
def test_half_precision_computes_in_single(size):
    layer, x = GlobalFilter(2, (6, 6)), 300 * torch.randn(1, 2, *size)
    with torch.no_grad():
        exact = layer(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = layer(x.bfloat16())
        torch.testing.assert_close(rough, layer(x.bfloat16().float()).bfloat16())
        half = layer.half()(x.half())
    assert rough.dtype == torch.bfloat16 and half.dtype == torch.float16
    assert (half.float() - exact).abs().max() < 0.01 * exact.abs().max()


def test_bad_arguments_are_explained():
    with pytest.raises(ConfigError, match="a filter of 0 x 4: both sides are 1 or more"):
        GlobalFilter(2, (0, 4))
    with pytest.raises(ConfigError, match="resizing='crop' of a filter: use one of kernel, spectrum"):
        GlobalFilter(2, (4, 4), "crop")
