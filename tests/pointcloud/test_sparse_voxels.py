"""Levels of voxels and what runs on them, beside dense convolution, dense attention and grid_sample."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.pointcloud.sparse import (
    CurveAttention,
    DownConv,
    SparseLevel,
    SubmanifoldConv,
    UpConv,
    build_pyramid,
    match_levels,
    sample_level,
    sample_levels,
)

SIZE = 8


def voxels(count: int = 90, seed: int = 0, scenes: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.cat(
        [
            torch.randint(0, scenes, (count, 1), generator=generator),
            torch.randint(0, SIZE, (count, 3), generator=generator),
        ],
        dim=1,
    )
    rows = torch.unique(rows, dim=0)
    return rows[:, 1:], rows[:, 0]


def dense(level: SparseLevel, values: Tensor, size: int = SIZE) -> Tensor:
    """``(B, C, size, size, size)``."""
    grid = values.new_zeros(level.num_scenes, size, size, size, values.shape[1])
    grid[(level.scene, *level.coords.T)] = values
    return grid.permute(0, 4, 1, 2, 3)


def at(level: SparseLevel, grid: Tensor) -> Tensor:
    return grid.permute(0, 2, 3, 4, 1)[(level.scene, *level.coords.T)]


def dense_weight(layer: torch.nn.Module) -> Tensor:
    return layer.weight.permute(0, 4, 1, 2, 3)


def test_submanifold_convolution_is_the_dense_one_at_the_voxels():
    level, layer = SparseLevel(*voxels()), SubmanifoldConv(3, 5)
    x = torch.randn(len(level), 3)
    expected = F.conv3d(dense(level, x), dense_weight(layer), layer.bias, padding=1)
    torch.testing.assert_close(layer(x, level), at(level, expected))


def test_down_and_up_are_the_strided_convolution_and_its_transposed_one():
    pyramid = build_pyramid(*voxels(), depth=2)
    fine, coarse, halving = *pyramid.levels, pyramid.halvings[0]
    down, up = DownConv(3, 5), UpConv(5, 3)
    x, y = torch.randn(len(fine), 3), torch.randn(len(coarse), 5)
    strided = F.conv3d(dense(fine, x), dense_weight(down), down.bias, stride=2)
    torch.testing.assert_close(down(x, halving), at(coarse, strided))
    kernel = dense_weight(up).transpose(0, 1)
    transposed = F.conv_transpose3d(dense(coarse, y, SIZE // 2), kernel, up.bias, stride=2)
    torch.testing.assert_close(up(y, halving), at(fine, transposed))


def test_initial_weights_are_those_of_dense_layers():
    layer = SubmanifoldConv(4, 64)
    bound = (4 * 27) ** -0.5
    for values in (layer.weight, layer.bias):
        assert values.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert SubmanifoldConv(4, 4, bias=False).bias is None


def test_parents_and_taps():
    coords, scene = voxels()
    pyramid = build_pyramid(coords, scene, depth=4)
    for finer, coarser, halving in zip(pyramid.levels, pyramid.levels[1:], pyramid.halvings):
        assert (coarser.coords[halving.parent] == finer.coords // 2).all()
        assert (coarser.scene[halving.parent] == finer.scene).all()
        bits = torch.stack([halving.tap >> 2 & 1, halving.tap >> 1 & 1, halving.tap & 1], dim=1)
        assert (2 * coarser.coords[halving.parent] + bits == finer.coords).all()
        assert halving.parent.unique().numel() == len(coarser)
    assert torch.equal(pyramid[0].coords, coords)


def test_a_part_is_found_in_the_whole():
    coords, scene = voxels()
    visible = torch.arange(len(coords)) % 3 != 0
    sub, full = (build_pyramid(coords[m], scene[m]) for m in (visible, torch.ones_like(visible)))
    for here, there, index in zip(sub.levels, full.levels, match_levels(sub, full)):
        assert torch.equal(there.coords[index], here.coords)
        assert torch.equal(there.scene[index], here.scene)
    with pytest.raises(DataError, match="voxels of level 0 are missing in the other pyramid"):
        match_levels(full, sub)
    with pytest.raises(DataError, match="of 5 levels is not one within 2"):
        match_levels(sub, build_pyramid(coords, scene, depth=2))


@pytest.mark.parametrize("window", [0, 6, 1000, -1])
def test_attention_sees_a_band_of_its_own_scene(window):
    level = SparseLevel(*voxels())
    layer = CurveAttention(8, 2, window, dropout=0.9).eval()
    x = torch.randn(len(level), 8)
    order = level.order("yxz_hilbert")
    query, key, value = layer.qkv(x[order]).view(-1, 3, 2, 4).permute(1, 2, 0, 3)
    place = torch.arange(len(level))
    seen = level.scene[order][:, None] == level.scene[order]
    if window >= 0:
        seen &= (place[:, None] - place).abs() <= window // 2
    weights = (query @ key.transpose(1, 2) / 2).masked_fill(~seen, -torch.inf).softmax(-1)
    expected = torch.empty_like(x)
    expected[order] = layer.proj((weights @ value).transpose(0, 1).flatten(1))
    torch.testing.assert_close(layer(x, level, "yxz_hilbert"), expected)
    assert not torch.equal(layer.train()(x, level, "yxz_hilbert"), expected)  # dropout


def test_attention_of_scenes_without_a_voxel():
    layer, coords = CurveAttention(8, 2), torch.tensor([[0, 0, 0], [3, 1, 0]])
    x = torch.randn(2, 8)
    gap = layer(x, SparseLevel(coords, torch.tensor([0, 2])), "xyz_z-order")
    alone = [layer(x[i : i + 1], SparseLevel(coords[i : i + 1]), "xyz_z-order") for i in range(2)]
    torch.testing.assert_close(gap, torch.cat(alone))
    empty = SparseLevel(torch.zeros(0, 3, dtype=torch.long))
    assert layer(torch.zeros(0, 8), empty, "xyz_z-order").shape == (0, 8)


@pytest.mark.parametrize("mapping", ["official", "consistent"])
@pytest.mark.parametrize("stride", [1, 4])
def test_trilinear_sampling_is_grid_sample_on_each_scene(mapping, stride):
    level = SparseLevel(*voxels(40))
    values = torch.randn(len(level), 3, dtype=torch.float64, requires_grad=True)
    coords, scene = voxels(70, seed=5)
    coords = coords * stride + torch.randint(0, stride, coords.shape)
    found = sample_level(level, values, stride, coords, scene, mapping=mapping)
    expected = torch.empty_like(found)
    for number in range(level.num_scenes):
        size = level.coords[level.scene == number].amax(dim=0) + 1
        grid = dense(level, values)[number : number + 1, :, : size[0], : size[1], : size[2]]
        place = 2 * (coords[scene == number] + 0.5).double() / stride / size - 1
        sampled = F.grid_sample(grid, place.flip(1)[None, :, None, None], align_corners=mapping == "official")
        expected[scene == number] = sampled[0, :, :, 0, 0].T
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.square().sum(), values)
    (reference,) = torch.autograd.grad(expected.square().sum(), values)
    torch.testing.assert_close(gradient, reference)


def test_levels_are_sampled_one_after_the_other_at_every_point():
    coords, scene = voxels()
    pyramid = build_pyramid(coords, scene, depth=3)
    maps = [torch.randn(len(level), 2 + i) for i, level in enumerate(pyramid.levels)]
    points = torch.randint(0, len(coords), (200,))  # many in one voxel
    found = sample_levels(pyramid, maps, coords[points], scene[points], mode="nearest")
    places = [points]
    for halving in pyramid.halvings:
        places.append(halving.parent[places[-1]])
    torch.testing.assert_close(found, torch.cat([m[i] for m, i in zip(maps, places)], dim=1))
    only = sample_levels(pyramid, maps[1:], coords[points], scene[points], "nearest", levels=(1, 2))
    torch.testing.assert_close(only, found[:, 2:])


def test_no_point_and_no_voxel():
    pyramid = build_pyramid(torch.zeros(0, 3, dtype=torch.long), depth=2)
    assert [len(level) for level in pyramid.levels] == [0, 0]
    somewhere = torch.tensor([[1, 2, 3]])
    maps = [torch.zeros(0, 2), torch.zeros(0, 3)]
    assert sample_levels(pyramid, maps, somewhere).tolist() == [[0.0] * 5]
    assert sample_levels(pyramid, maps, somewhere[:0]).shape == (0, 5)


def test_what_is_no_level_is_refused():
    coords = torch.tensor([[0, 0, 0], [0, 0, 1]])
    with pytest.raises(DataError, match="count from 0, but these reach down to -1"):
        SparseLevel(coords - 1)
    with pytest.raises(DataError, match="not in ascending order"):
        SparseLevel(coords, torch.tensor([1, 0]))
    with pytest.raises(DataError, match=r"voxel \[0, 0, 0\] of cloud 0 occurs more than once"):
        SparseLevel(coords[[0, 1, 0]])
    with pytest.raises(DataError, match="whole numbers"):
        SparseLevel(coords.float())
    with pytest.raises(ConfigError, match="not 'cubic'"):
        sample_level(SparseLevel(coords), torch.zeros(2, 1), 1, coords, mode="cubic")
    with pytest.raises(ConfigError, match="not 'half'"):
        sample_level(SparseLevel(coords), torch.zeros(2, 1), 1, coords, mapping="half")
    with pytest.raises(DataError, match=r"a map of 2 voxels is \(V, C\), not \(3, 1\)"):
        sample_level(SparseLevel(coords), torch.zeros(3, 1), 1, coords)
    with pytest.raises(ConfigError, match="8 channels are not divided by 3 heads"):
        CurveAttention(8, 3)


def test_far_voxels_convolve_but_have_no_place_on_a_curve_of_16_bits():
    level = SparseLevel(torch.tensor([[0, 0, 0], [1, 0, 0], [70_000, 3, 0]]))
    found = SubmanifoldConv(2, 2, bias=False)(torch.ones(3, 2), level)
    assert not torch.equal(found[0], found[2])  # that one has no neighbour
    with pytest.raises(DataError, match=r"0 \.\. 65535.*take larger voxels"):
        CurveAttention(4, 1)(torch.zeros(3, 4), level, "xyz_hilbert")
    with pytest.raises(DataError, match="no 64-bit number"):
        SparseLevel(torch.tensor([[0, 0, 0], [1 << 40, 1 << 40, 1 << 40]]))
