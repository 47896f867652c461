"""Position encodings beside their formulas, their own symmetries and peer libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import timm.layers
import torch
import torch.nn.functional as F
from scipy.interpolate import RectBivariateSpline

from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import resize_position_table, sincos_position_table
from dense3d.layers.relative_position import RelativePositionBias, resize_relative_table
from dense3d.layers.rotary import AxialRope, rotate


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("options", [{}, {"antialias": True}, {"offset": 0.1}])
def test_the_own_grid_keeps_the_table(options):
    table = torch.randn(1, 35, 4)
    assert torch.equal(resize_position_table(table, (5, 7), (5, 7), **options), table)


@pytest.mark.parametrize("options", [{}, {"antialias": True}, {"offset": 0.1}])
def test_a_constant_table_stays_constant_on_any_grid(options):
    table = torch.full((1, 35, 4), 1.5)
    for grid in ((3, 3), (1, 9), (11, 20)):
        resized = resize_position_table(table, (5, 7), grid, **options)
        torch.testing.assert_close(resized, torch.full((1, grid[0] * grid[1], 4), 1.5))


def test_rows_and_columns_keep_their_roles():
    rows = torch.arange(6.0)[:, None].expand(6, 4).reshape(1, 24, 1)
    resized = resize_position_table(rows, (6, 4), (12, 3)).view(12, 3)
    assert bool((resized.diff(dim=0) > 0).all())
    torch.testing.assert_close(resized, resized[:, :1].expand(-1, 3))


def test_antialiased_resize_is_timms():
    table = torch.randn(1, 49, 8)
    ours = resize_position_table(table, (7, 7), (5, 9), antialias=True)
    theirs = timm.layers.resample_abs_pos_embed(table, [5, 9], [7, 7], num_prefix_tokens=0)
    torch.testing.assert_close(ours, theirs)


def test_the_offset_scales_coordinates_by_its_own_quotient():
    """With the factor s = (t + 0.1) / n an output cell i lies at (i + 0.5) / s - 0.5 of the input."""
    signal = np.random.default_rng(0).standard_normal(10)
    table = torch.tensor(signal, dtype=torch.float32).view(1, 10, 1)
    resized = resize_position_table(table, (10, 1), (20, 1), offset=0.1).flatten()
    for cell in range(20):
        x = (cell + 0.5) / (20.1 / 10) - 0.5
        taps = range(math.floor(x) - 1, math.floor(x) + 3)
        expected = sum(cubic(x - t) * signal[min(max(t, 0), 9)] for t in taps)
        assert resized[cell].item() == pytest.approx(expected, abs=1e-5)


def cubic(x: float) -> float:
    """Keys' kernel with a = -0.75."""
    x = abs(x)
    if x <= 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_sincos_table_follows_the_formula():
    table = sincos_position_table((3, 5), 16)[0].view(3, 5, 16)
    for row, column, k in ((0, 0, 0), (2, 4, 1), (1, 3, 3)):
        omega = 10000 ** (-k / 4)
        values = [math.sin(column * omega), math.cos(column * omega)]
        values += [math.sin(row * omega), math.cos(row * omega)]
        channels = [k, 4 + k, 8 + k, 12 + k]
        np.testing.assert_allclose(table[row, column, channels], values, atol=1e-6)


def test_relative_bias_depends_on_the_offset_alone():
    bias = RelativePositionBias((3, 4), 2, num_prefix=1)
    torch.nn.init.normal_(bias.table)
    values = bias((3, 4))
    patches = values[:, 1:, 1:].view(2, 3, 4, 3, 4)
    assert torch.equal(patches[:, 0, 1, 2, 2], patches[:, 0, 2, 2, 3])
    assert not torch.equal(patches[:, 0, 1, 2, 2], patches[:, 2, 2, 0, 1])
    assert len(patches[0].unique()) == 5 * 7
    to_patch, to_prefix, corner = bias.table[-3:]
    assert torch.equal(values[:, 0, 1:], to_patch[:, None].expand(-1, 12))
    assert torch.equal(values[:, 1:, 0], to_prefix[:, None].expand(-1, 12))
    assert torch.equal(values[:, 0, 0], corner)


def test_relative_index_is_timms():
    from timm.layers.pos_embed_rel import gen_relative_position_index

    bias = RelativePositionBias((3, 4), 2, num_prefix=1)
    torch.nn.init.normal_(bias.table)
    index = gen_relative_position_index((3, 4), class_token=True)
    torch.testing.assert_close(bias((3, 4)), bias.table[index].permute(2, 0, 1))


@pytest.mark.parametrize(("source", "target"), [((7, 7), (12, 12)), ((6, 6), (4, 4)), ((5, 5), (9, 3))])
def test_relative_resize_is_the_bicubic_spline_of_scipy(source, target):
    sides, table = [2 * n - 1 for n in source], torch.randn((2 * source[0] - 1) * (2 * source[1] - 1) + 3, 2)
    resized = resize_relative_table(table, source, target)
    known = [coordinates(s, 2 * t - 1) for s, t in zip(sides, target)]
    wanted = [np.arange(2 * t - 1) - (t - 1) for t in target]
    for head in range(2):
        z = table[:-3, head].view(sides).double().numpy()
        expected = RectBivariateSpline(*known, z, s=0)(*wanted)
        np.testing.assert_allclose(resized[:-3, head].view(expected.shape), expected, atol=2e-4)
    assert torch.equal(resized[-3:], table[-3:])


def coordinates(side: int, target: int) -> np.ndarray:
    """Distances 1, q, q^2, ... from the centre with q solved by scipy instead of bisection."""
    from scipy.optimize import brentq

    count, reach = side // 2, target // 2

    def excess(q: float) -> float:
        return sum(q**k for k in range(count)) - reach

    q = 1.01 if excess(1.01) > 0 else brentq(excess, 1.01, 1.5, xtol=1e-9)
    half = np.cumsum([q**k for k in range(count)])
    return np.concatenate([-half[::-1], [0], half])


def test_relative_resize_passes_gradients_and_keeps_its_own_window():
    table = torch.randn(9 * 9, 2, requires_grad=True)
    assert resize_relative_table(table, (5, 5), (5, 5)) is table
    resize_relative_table(table, (5, 5), (8, 8)).sum().backward()
    assert bool((table.grad != 0).any())


def test_rotation_keeps_lengths_and_depends_on_distance_alone():
    rope = AxialRope(16)
    rotation = rope((1, 6))
    query, key = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)
    turned = [rotate(x.expand(-1, -1, 6, -1), rotation) for x in (query, key)]
    torch.testing.assert_close(turned[0].norm(dim=-1), query.norm().expand(1, 1, 6))
    products = turned[0][0, 0] @ turned[1][0, 0].t()  # equal along diagonals: the same distance
    for offset in range(-4, 5):
        diagonal = products.diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)


def test_prefix_tokens_are_not_rotated():
    x = torch.randn(2, 3, 2 + 12, 8)
    turned = rotate(x, AxialRope(8)((3, 4)), num_prefix=2)
    assert torch.equal(turned[:, :, :2], x[:, :, :2])
    assert not torch.allclose(turned[:, :, 2:], x[:, :, 2:])


def test_rope_is_timms_for_dinov3():
    from timm.layers import RotaryEmbeddingDinoV3

    theirs = RotaryEmbeddingDinoV3(64, temperature=100.0, feat_shape=[5, 8], rotate_half=True)
    sin, cos = theirs.get_embed([5, 8]).chunk(2, -1)
    ours = AxialRope(64)((5, 8))
    torch.testing.assert_close(ours[0], sin)
    torch.testing.assert_close(ours[1], cos)


@pytest.mark.parametrize("normalize", ["separate", "max", "min"])
def test_coordinates_are_cell_centres(normalize):
    cells = AxialRope(8, normalize=normalize).coordinates((2, 4)).view(2, 4, 2)
    side = {"separate": (2, 4), "max": (4, 4), "min": (2, 2)}[normalize]
    rows = 2 * (torch.arange(2) + 0.5) / side[0] - 1
    columns = 2 * (torch.arange(4) + 0.5) / side[1] - 1
    torch.testing.assert_close(cells[..., 0], rows[:, None].expand(2, 4))
    torch.testing.assert_close(cells[..., 1], columns.expand(2, 4))


def test_augmentation_is_drawn_anew_while_training_and_off_in_evaluation():
    rope = AxialRope(8, shift=0.5, jitter=1.3, rescale=2.0)
    assert torch.equal(rope.eval()((3, 4))[0], AxialRope(8)((3, 4))[0])
    rope.train()
    first, second = rope((3, 4))[0], rope((3, 4))[0]
    assert not torch.equal(first, second)


def test_geometric_periods_include_both_ends():
    periods = AxialRope(32, base=None, min_period=2.0, max_period=50.0).periods
    assert periods[0].item() == pytest.approx(2.0) and periods[-1].item() == pytest.approx(50.0)
    ratios = periods[1:] / periods[:-1]
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios))


def test_bad_rope_arguments_are_explained():
    with pytest.raises(ConfigError, match="multiple of 4 channels, not 6"):
        AxialRope(6)
    with pytest.raises(ConfigError, match=r"normalize='both'.*'separate', 'max' or 'min'"):
        AxialRope(8, normalize="both")
    with pytest.raises(ConfigError, match="needs a positive base, or min_period and max_period"):
        AxialRope(8, base=None)


def test_scale_factor_matters():
    """DINOv2's resize without registers differs from a resize to the size, which timm does."""
    table = torch.randn(1, 37 * 37, 1)
    ours = resize_position_table(table, (37, 37), (5, 8), offset=0.1)
    plain = F.interpolate(table.view(1, 1, 37, 37), size=(5, 8), mode="bicubic")
    assert (ours.view(5, 8) - plain[0, 0]).abs().max() > 0.1
