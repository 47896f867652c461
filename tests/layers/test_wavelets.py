"""The dual-tree wavelet transform: reconstruction, orientations, borders; the mixer made of it."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.errors import ConfigError
from dense3d.layers.scattering import ComplexGroupMLP, ScatteringMixer
from dense3d.layers.wavelets import ANALYSIS, ORIENTATIONS, SYNTHESIS, analyse, synthesise


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_filters_are_a_perfect_pair():
    low, high = (torch.tensor(taps, dtype=torch.float64) for taps in ANALYSIS)
    assert abs(low.sum() - 1) < 1e-12 and abs(high.sum()) < 1e-12
    back_low, back_high = (torch.tensor(taps, dtype=torch.float64) for taps in SYNTHESIS)
    length = 64
    response = sum(
        torch.fft.fft(a, length) * torch.fft.fft(b, length) for a, b in ((low, back_low), (high, back_high))
    )
    torch.testing.assert_close(response.abs(), torch.ones(length, dtype=torch.float64))


@pytest.mark.parametrize("size", [(16, 24), (2, 4), (6, 2)])
def test_bands_give_the_map_back(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    low, real, imaginary = analyse(x)
    assert low.shape == x.shape
    assert real.shape == imaginary.shape == (2, 3, 6, size[0] // 2, size[1] // 2)
    torch.testing.assert_close(synthesise(low, real, imaginary), x)


@pytest.mark.parametrize("number", range(6))
def test_a_wave_is_strongest_in_the_band_of_its_orientation(number):
    """Crests of a wave at an angle; 15 degrees lie nearly along the rows."""
    angle = math.radians(ORIENTATIONS[number])
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    across, down = math.sin(angle), math.cos(angle)
    wave = torch.cos(2.2 / max(abs(across), abs(down)) * (columns * across + rows * down))
    _, real, imaginary = analyse(wave[None, None])
    strength = torch.hypot(real, imaginary)[0, 0, :, 8:-8, 8:-8].mean(dim=(1, 2))
    assert strength.argmax() == number


def test_borders_are_mirrored():
    """A map beside its mirror image has the same bands in its half."""
    x = torch.randn(1, 1, 24, 8)
    low, real, _ = analyse(x)
    wide, wide_real, _ = analyse(torch.cat([x, x.flip(-1)], dim=-1))
    torch.testing.assert_close(wide[..., :8], low, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(wide_real[..., :4], real, rtol=1e-4, atol=1e-5)


def test_groups_are_mixed_by_complex_affine_maps():
    layer = ComplexGroupMLP(8, 4)
    for parameter in layer.parameters():
        parameter.data.normal_()
    x = torch.randn(2, 8, 6, 3, 5, dtype=torch.complex64)
    found = torch.complex(*layer(x.real, x.imag))
    w1, w2, b1, b2 = (
        torch.complex(*p.detach()) for p in (layer.weight1, layer.weight2, layer.bias1, layer.bias2)
    )
    groups = x.unflatten(1, (4, 2))  # (B, G, d, 6, h, w)
    hidden = torch.einsum("bgi...,gij->bgj...", groups, w1) + b1[..., None, None, None]
    hidden = torch.complex(hidden.real.relu(), hidden.imag.relu())
    expected = torch.einsum("bgi...,gij->bgj...", hidden, w2) + b2[..., None, None, None]
    torch.testing.assert_close(found, expected.flatten(1, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(7, 10), (5, 5), (1, 3)])
def test_odd_sides_repeat_the_last_row_or_column(size):
    mixer, x = ScatteringMixer(8, (6, 6)), torch.randn(1, *size, 8)
    even = x
    for axis in (1, 2):
        if x.shape[axis] % 2:
            even = torch.cat([even, even.narrow(axis, even.shape[axis] - 1, 1)], dim=axis)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), mixer(even)[:, : size[0], : size[1]])


class Unchanged(torch.nn.Module):
    def forward(self, *parts):
        return parts


def test_neutral_weights_leave_the_map():
    mixer = ScatteringMixer(4, (4, 4))
    mixer.low.data.fill_(1.0)
    mixer.high = Unchanged()
    x = torch.randn(2, 9, 6, 4)
    torch.testing.assert_close(mixer(x), x, rtol=1e-4, atol=1e-5)


def test_half_precision_computes_in_single():
    mixer, x = ScatteringMixer(8, (6, 6)), torch.randn(1, 8, 6, 8).bfloat16()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = mixer(x)
    with torch.no_grad():
        torch.testing.assert_close(rough, mixer(x.float()).bfloat16())


def test_channels_that_no_four_groups_share_are_refused():
    with pytest.raises(ConfigError, match="6 channels cannot be shared by 4 groups"):
        ScatteringMixer(6, (4, 4))
