"""Whole-number rotary positions beside the formula, and what rotations have to keep."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.errors import ConfigError
from dense3d.layers import GridRope, grid_positions, rotate
from dense3d.layers.rotary import AxialRope


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("base", "f0"), [(100.0, 1.0), (10000.0, 1.0), (37.5, -1.0), (0.5, 2.0)])
def test_pairs_turn_by_the_formula(base, f0):
    x, positions = torch.randn(2, 3, 5, 12), torch.randint(0, 40, (2, 5, 2))
    turned = rotate(x, GridRope(12, base, f0).rotation(positions))
    quarter = 3
    for sample, token, axis, d in [(0, 0, 0, 0), (1, 4, 0, 2), (0, 3, 1, 1), (1, 2, 1, 2)]:
        angle = float(positions[sample, token, axis]) * f0 / base ** (d / quarter)
        first = axis * 6 + d  # rows turn the first half of the channels
        for head in range(3):
            u, v = x[sample, head, token, [first, first + quarter]].tolist()
            expected = [
                u * math.cos(angle) - v * math.sin(angle),
                v * math.cos(angle) + u * math.sin(angle),
            ]
            found = turned[sample, head, token, [first, first + quarter]].tolist()
            assert found == pytest.approx(expected, abs=3e-5)


def test_a_grid_is_row_major_and_starts_at_0():
    assert grid_positions((2, 3)).tolist() == [[r, c] for r in range(2) for c in range(3)]
    rope, positions = GridRope(8), grid_positions((3, 5))
    for of_grid, listed, batched in zip(
        rope((3, 5)), rope.rotation(positions), rope.rotation(positions[None])
    ):
        assert torch.equal(of_grid, listed) and torch.equal(of_grid, batched[0, 0])


def test_turning_back_undoes_it_and_lengths_stay():
    x, positions = torch.randn(2, 4, 7, 16), torch.randint(0, 99, (2, 7, 2))
    turned = rotate(x, GridRope(16).rotation(positions))
    torch.testing.assert_close(rotate(turned, GridRope(16, f0=-1.0).rotation(positions)), x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_products_depend_on_distances_alone():
    query, key, rope = torch.randn(1, 1, 1, 32), torch.randn(1, 1, 1, 32), GridRope(32)

    def product(at: tuple[int, int], to: tuple[int, int]) -> float:
        turned = (rotate(x, rope.rotation(torch.tensor([p]))) for x, p in ((query, at), (key, to)))
        return float((next(turned) * next(turned)).sum())

    assert product((3, 5), (7, 2)) == pytest.approx(product((13, 8), (17, 5)), abs=1e-4)
    assert abs(product((3, 5), (7, 2)) - product((3, 5), (2, 7))) > 1e-2


def test_angles_stay_in_float32_in_half_precision_models():
    positions = torch.tensor([[301, 17]])  # bfloat16 has neither 301 nor the angle
    exact, half = GridRope(64), GridRope(64).bfloat16()
    for a, b in zip(exact.rotation(positions), half.rotation(positions)):
        assert b.dtype == torch.float32 and torch.equal(a, b)
    x = torch.randn(1, 1, 1, 64).bfloat16()
    turned = rotate(x, half.rotation(positions))
    assert turned.dtype == torch.bfloat16
    torch.testing.assert_close(turned, rotate(x.float(), exact.rotation(positions)).bfloat16())


def test_an_expanded_gradient_arrives_unharmed():
    """The official kernel writes into the gradient that it is given, which is wrong for ``sum()``."""
    x, rotation = torch.randn(2, 2, 6, 8, requires_grad=True), GridRope(8)((2, 3))
    rotate(x, rotation).sum().backward()
    back = rotate(torch.ones_like(x), GridRope(8, f0=-1.0)((2, 3)))
    torch.testing.assert_close(x.grad, back)


def test_prefix_tokens_stay():
    x, rotation = torch.randn(1, 2, 8, 8), GridRope(8)((2, 3))
    turned = rotate(x, rotation, num_prefix=2)
    assert torch.equal(turned[:, :, :2], x[:, :, :2])
    assert torch.equal(turned[:, :, 2:], rotate(x[:, :, 2:], rotation))


def test_the_relative_form_is_another_one():
    """DINOv3's turns channel k with k + d / 2 of the head; both keep their own layout."""
    x = torch.randn(1, 1, 6, 8)
    assert AxialRope(8)((2, 3))[0].shape == (6, 8) and GridRope(8)((2, 3))[0].shape == (6, 2, 4)
    assert not torch.allclose(rotate(x, AxialRope(8)((2, 3))), rotate(x, GridRope(8)((2, 3))))


def test_rotation_exports():
    class Turn(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rope = GridRope(8)

        def forward(self, x, positions):
            return rotate(x, self.rope.rotation(positions))

    inputs = torch.randn(2, 2, 5, 8), torch.randint(0, 9, (2, 5, 2))
    tokens = torch.export.Dim("tokens", min=2, max=64)
    program = torch.export.export(Turn(), inputs, dynamic_shapes=({2: tokens}, {1: tokens}))
    other = torch.randn(2, 2, 9, 8), torch.randint(0, 500, (2, 9, 2))
    torch.testing.assert_close(program.module()(*other), Turn()(*other))


@pytest.mark.parametrize("head_dim", [0, 2, 6])
def test_heads_that_cannot_be_quartered_are_refused(head_dim):
    with pytest.raises(ConfigError, match=f"multiple of 4 channels, not {head_dim}"):
        GridRope(head_dim)


@pytest.mark.parametrize("base", [0, -100, float("nan")])
def test_a_base_is_positive(base):
    with pytest.raises(ConfigError, match="needs a positive base"):
        GridRope(8, base)
