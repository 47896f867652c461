"""Similarity maps: formulas written out voxel by voxel, and what they must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import ConfigError
from dense3d.transfer_function.similarity import (
    SimilarityOptions,
    class_map,
    emphasised,
    largest_component,
    modality_maps,
    nearest_distances,
    offline_map,
    offline_scaled,
    proximity_weight,
    quantile,
    reduced,
    relative_coordinates,
    sample_features,
    scaled,
    similarities,
    smoothed,
)

SHAPE = (13, 9, 6)


@pytest.fixture
def features() -> torch.Tensor:
    return F.normalize(torch.randn(5, 4, 3, 2, generator=torch.Generator().manual_seed(1)), dim=0)


def trilinear(features: np.ndarray, voxel, shape) -> np.ndarray:
    """Weights of the eight cells around a voxel's centre; cells outside count as zeros."""
    place = [(v + 0.5) / n * c - 0.5 for v, n, c in zip(voxel, shape, features.shape[1:])]
    found = np.zeros(features.shape[0])
    for corner in np.ndindex(2, 2, 2):
        cell = [math.floor(p) + o for p, o in zip(place, corner)]
        if all(0 <= i < n for i, n in zip(cell, features.shape[1:])):
            weight = np.prod([1 - abs(p - i) for p, i in zip(place, cell)])
            found += weight * features[(slice(None), *cell)]
    return found


def test_sampling_voxel_by_voxel(features):
    voxels = [(0, 0, 0), (12, 8, 5), (6, 4, 3), (1, 8, 2), (12, 0, 0)]
    relative = relative_coordinates(torch.tensor(voxels), SHAPE)
    found = sample_features(features, relative)
    expected = [trilinear(features.double().numpy(), v, SHAPE) for v in voxels]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    # at the border features are shorter: a quarter of the volume's end cell and less
    assert found[0].norm() < 0.6
    nearest = sample_features(features, relative, "nearest")
    cells = [tuple(int((v + 0.5) / n * c) for v, n, c in zip(x, SHAPE, (4, 3, 2))) for x in voxels]
    np.testing.assert_array_equal(nearest.numpy(), [features[(slice(None), *c)].numpy() for c in cells])


def test_the_chain_for_one_class(features):
    voxels = torch.tensor([(2, 3, 1), (10, 5, 4), (6, 6, 0)])
    options = SimilarityOptions(proximity=0.0)
    queries = [trilinear(features.double().numpy(), v, SHAPE) for v in voxels.tolist()]
    dots = np.einsum("fxyz,af->axyz", features.double().numpy(), queries)
    expected = np.where(dots >= 0.1, dots, 0) ** 2.5
    found = class_map(features, voxels, SHAPE, options)
    np.testing.assert_allclose(found.numpy(), expected.mean(0), atol=1e-6)
    highest = class_map(features, voxels, SHAPE, SimilarityOptions(proximity=0.0, reduction="max"))
    np.testing.assert_allclose(highest.numpy(), expected.max(0), atol=1e-6)


def test_modalities_are_weighted_and_zero_weights_left_out(features):
    other, voxels = F.normalize(torch.randn_like(features), dim=0), torch.tensor([(2, 3, 1)])
    both = torch.stack([features, other])
    first, second = class_map(features, voxels, SHAPE), class_map(other, voxels, SHAPE)
    found = class_map(both, voxels, SHAPE, weights=(0.7, 0.3))
    torch.testing.assert_close(found, 0.7 * first + 0.3 * second)
    torch.testing.assert_close(class_map(both, voxels, SHAPE, weights=(0.0, 2.0)), 2 * second)
    assert set(modality_maps(both, voxels, SHAPE, weights=(0.0, 1.0))) == {1}
    assert not class_map(both, voxels, SHAPE, weights=(0.0, 0.0)).any()


def test_a_class_without_annotations_is_zero(features):
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert class_map(features, none, SHAPE).shape == (4, 3, 2)
    assert not scaled(class_map(features, none, SHAPE)).any()
    assert not offline_scaled(reduced(similarities(features, torch.zeros(0, 5)))).any()


def test_proximity_point_by_point():
    relative = torch.tensor([[-0.9, 0.2, 0.5], [0.4, -0.3, 0.0]])
    line = np.linspace(-1, 1, 48)
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1)
    distance = np.linalg.norm(grid[..., None, :] - relative.numpy(), axis=-1).min(-1)
    np.testing.assert_allclose(nearest_distances(relative).numpy(), distance, atol=1e-6)
    expected = torch.from_numpy(np.clip(np.exp(-10 * 0.5 * (distance - 0.1)), 0, 1)).float()
    expected = F.interpolate(expected[None, None], (7, 5, 50), mode="trilinear")[0, 0]
    torch.testing.assert_close(proximity_weight(relative, 0.5, (7, 5, 50)), expected, rtol=1e-4, atol=1e-5)
    assert proximity_weight(relative, 0.0, (4, 4, 4)).eq(1).all()


@pytest.mark.parametrize("q", [0.0, 0.013, 0.3, 0.5, 0.9999, 1.0])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_quantiles_are_those_of_numpy(q, count):
    values = torch.randn(count, generator=torch.Generator().manual_seed(count))
    assert quantile(values, q).item() == pytest.approx(np.quantile(values.double().numpy(), q), abs=1e-6)


def test_quantiles_of_more_elements_than_torch_takes():
    count = 2**24 + 5
    values = torch.arange(count, dtype=torch.float32).flip(0)
    assert quantile(values, 0.9999).item() == pytest.approx(0.9999 * (count - 1), abs=1)


def test_scales():
    ramp = torch.arange(10001.0)
    found = scaled(ramp)
    assert found.max() == 255
    assert found[5000].item() == pytest.approx(255 * 5000 / 9999)
    offline = offline_scaled(ramp)
    assert offline.max() == 255  # no entry wraps around
    assert offline[5000] == int(255 * 5000 / 9900)


def test_offline_maps_are_cut_higher_and_half_as_large(features):
    similarity = similarities(features, sample_features(features, torch.zeros(1, 3)))
    found = offline_map(similarity, (13, 9, 6))
    assert found.shape == (6, 4, 3) and found.dtype == torch.uint8
    low = emphasised(similarity[0], 0.25)
    expected = torch.clamp(255 / (0.99 * low.max()) * low, 0, 255).to(torch.uint8)
    # nearest: cell floor(i n / N)
    index = [torch.arange(n) * c // n for n, c in zip((6, 4, 3), (4, 3, 2))]
    assert torch.equal(found, expected[index[0]][:, index[1]][:, :, index[2]])


def test_the_largest_component_has_corners_too():
    mask = torch.zeros(6, 6, 6, dtype=torch.bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 2] = True
    mask[5, 5, 4:] = True
    assert largest_component(mask).nonzero().tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert not largest_component(torch.zeros(2, 2, 2) > 0).any()
    voxels, features = torch.tensor([(0, 0, 0)]), torch.ones(1, 4, 1, 1)
    features[0, 1:3] = 0.0
    features[0, 3] = 0.6
    options = SimilarityOptions(proximity=0.0, connected_component=True)
    kept = class_map(features, voxels, (4, 1, 1), options).flatten()
    assert (kept > 0).tolist() == [True, False, False, False]


def test_post_processing():
    noise = np.random.default_rng(0).integers(0, 255, (9, 9, 9), np.uint8)
    assert smoothed(noise) is noise
    assert smoothed(noise, sigma=0.5).std() < noise.std()
    speck = np.zeros((9, 9, 9), np.uint8)
    speck[4, 4, 4] = speck[:, :, 0] = 200
    assert not smoothed(speck, open_close=1).any()
    block = np.zeros((9, 9, 9), np.uint8)
    block[2:6, 2:6, 2:6] = 90
    np.testing.assert_array_equal(smoothed(block, open_close=2), block)


@pytest.mark.parametrize(
    "wrong", [dict(reduction="sum"), dict(proximity=1.5), dict(quantile=0), dict(exponent=0)]
)
def test_options_out_of_range(wrong):
    with pytest.raises(ConfigError, match="of similarities"):
        SimilarityOptions(**wrong)
