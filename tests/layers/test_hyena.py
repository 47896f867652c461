"""Hyena: its convolution, directions, windows and orders, against plain sums."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import ConfigError
from dense3d.layers.hyena import HyenaOperator, quadrant_convolution
from dense3d.layers.hyena_filter import FreeFilter, HyenaFilter


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def summed(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The convolution written out."""
    height, width = x.shape[-2:]
    y = torch.zeros_like(x)
    for a in range(height):
        for b in range(width):
            shifted = F.pad(x, (b, 0, a, 0))[..., :height, :width]
            y += kernel[:, a, b, None, None] * shifted
    return y / math.sqrt(4 * height * width) + bias[:, None, None] * x


@pytest.mark.parametrize("size", [(4, 4), (3, 6)])
def test_the_convolution_is_the_sum_over_a_quadrant(size):
    x, kernel, bias = torch.randn(2, 3, *size), torch.randn(3, *size), torch.randn(3)
    torch.testing.assert_close(
        quadrant_convolution(x, kernel, bias), summed(x, kernel, bias), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("direction", ["standard", "seq", "4dir", "4dirp", "parallel"])
def test_operators_are_the_recursion_of_the_paper(order, direction):
    dim, side = 6, 4
    layer = HyenaOperator(dim, side, order, direction, free_filter=True)
    x = torch.randn(2, side, side, dim)

    def convolved(parts: torch.Tensor) -> torch.Tensor:  # (B, inner, h, w), channels first
        pieces = list(parts.split(dim, dim=1))
        value = pieces.pop()
        for number in range(order - 1):
            value = value * pieces.pop()
            flip = (2, 3) if direction == "seq" and number == 0 else ()
            value = summed(value.flip(flip), layer.filter.weight[number], layer.filter.bias[number]).flip(
                flip
            )
        return value * pieces.pop()

    with torch.no_grad():
        parts = layer.short_filter(layer.in_proj(x)).permute(0, 3, 1, 2)
        if direction == "parallel":
            mixed = torch.cat([convolved(part) for part in parts.chunk(4, dim=1)], dim=1)
        elif direction.startswith("4dir"):
            ways = [convolved(parts.flip(f)).flip(f) for f in ((), (2, 3), (3,), (2,))]
            stacked = torch.stack(ways, dim=2)  # (B, C, 4, h, w)
            if direction == "4dir":
                mixed = torch.einsum("bcnhw,n->bchw", stacked, layer.mix.weight[0]) + layer.mix.bias
            else:
                mixed = F.conv2d(stacked.flatten(1, 2), layer.mix.weight[..., None, None], layer.mix.bias)
        else:
            mixed = convolved(parts)
        expected = layer.out_proj(mixed.permute(0, 2, 3, 1))
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_a_standard_operator_sees_what_is_above_and_left():
    layer = HyenaOperator(4, 6, hidden_dim=8).double()
    x = torch.randn(1, 6, 6, 4, requires_grad=True, dtype=torch.float64)
    layer(x)[0, 2, 3].sum().backward()
    seen = x.grad[0].abs().sum(-1) > 1e-12
    assert seen[:4, :5].all()  # one pixel further by the short filter
    assert not seen[4:].any() and not seen[:, 5:].any()


def test_the_sequential_direction_sees_the_other_quadrant():
    layer = HyenaOperator(4, 6, direction="seq", hidden_dim=8).double()
    x = torch.randn(1, 6, 6, 4, requires_grad=True, dtype=torch.float64)
    layer(x)[0, 2, 3].sum().backward()
    seen = x.grad[0].abs().sum(-1) > 1e-12
    assert seen[1:, 2:].all() and not seen[:1].any() and not seen[:, :2].any()


def network(layer: HyenaFilter, x: torch.Tensor, number: int = 0) -> torch.Tensor:
    *hidden, last = layer.networks[number]
    for linear in hidden:
        x = torch.sin(layer.frequency * linear(x))
    return last(x)


@pytest.mark.parametrize("window", ["standard", "learn", "symettric", "no"])
@pytest.mark.parametrize("root", [False, True])
def test_joint_kernels_and_their_windows(window, root):
    layer = HyenaFilter(
        2, 3, 5, hidden_dim=8, separable=False, window=window, sqrt_decay=root, position_dim=5
    )
    with torch.no_grad():
        kernels = layer((5, 5))
        assert kernels.shape == (2, 3, 5, 5)
        for row, column in ((0, 0), (1, 3), (4, 2)):
            z = torch.cat([layer.positions[row], layer.positions[column]])
            value = network(layer, z)
            if window != "no":
                times = (row, column) if window == "symettric" else (row / 4, column / 4)
                decays = layer.decays.abs().expand(2, -1)
                fading = torch.exp(-(times[0] * decays[0] + times[1] * decays[1]))
                fading = fading.sqrt() if root else fading
                value = value * (fading if window == "standard" else fading + layer.shift[0])
            torch.testing.assert_close(kernels[..., row, column].flatten(), value, rtol=1e-4, atol=1e-5)


def test_separable_kernels_are_products():
    layer = HyenaFilter(1, 3, 5, hidden_dim=8, window="learn")
    with torch.no_grad():
        kernels = layer((5, 5))
        rows, columns = (
            network(layer, layer.positions, i)
            * (torch.exp(-torch.linspace(0, 1, 5)[:, None] * layer.decays[i].abs()) + layer.shift[i])
            for i in (0, 1)
        )
        torch.testing.assert_close(
            kernels[0], torch.einsum("ic,jc->cij", rows, columns), rtol=1e-4, atol=1e-6
        )


def test_decays_and_positions_start_as_published():
    layer = HyenaFilter(1, 8, 7, position_dim=5, hidden_dim=16)
    assert layer.decays.shape == (2, 8) and not layer.decays.requires_grad
    torch.testing.assert_close(
        layer.decays[0, [0, -1]], torch.tensor([math.log(0.01) / 1.5, math.log(0.01) / 0.3])
    )
    assert torch.equal(layer.positions[:, 0], torch.linspace(0, 1, 7))
    angles = 2 * math.pi * torch.arange(7) / 7
    torch.testing.assert_close(layer.positions[:, 2], angles.cos())
    torch.testing.assert_close(layer.positions[:, 4], -angles.sin())
    assert (layer.frequency == 1).all()


@pytest.mark.parametrize("build", [lambda: HyenaFilter(1, 3, 4, hidden_dim=8), lambda: FreeFilter(1, 3, 4)])
def test_kernels_are_stretched(build):
    layer = build()
    with torch.no_grad():
        own, larger = layer((4, 4)), layer((7, 10))
        torch.testing.assert_close(larger[..., ::2, ::3], own, rtol=1e-4, atol=1e-5)


def test_half_precision_computes_in_single():
    layer, x = HyenaOperator(8, 6, hidden_dim=8), torch.randn(2, 6, 6, 8)
    with torch.no_grad():
        exact = layer(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = layer(x)
    assert (rough.float() - exact).abs().mean() < 0.03 * exact.abs().mean()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HyenaOperator(8, 4, direction="sq"), "direction='sq' of Hyena; did you mean 'seq'"),
        (lambda: HyenaOperator(8, 4, order=1), "order=1 of Hyena: give 2 or more"),
        (lambda: HyenaOperator(8, 4, free_filter=True, hidden_dim=3), "has no options, but hidden_dim"),
        (lambda: HyenaFilter(1, 8, 4, window="symetric"), "did you mean 'symettric'"),
        (lambda: HyenaFilter(1, 8, 4, window="symettric"), "window='symettric' of Hyena is of kernels that"),
        (lambda: HyenaFilter(1, 8, 4, sqrt_decay=True), "sqrt_decay of Hyena is of kernels that are not"),
        (lambda: HyenaFilter(1, 8, 4, position_dim=4), "position_dim=4 of Hyena: give an odd number"),
    ],
)
def test_bad_arguments_are_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
