"""Supervoxels: a partition that follows edges, and its graph against a plain computation."""

import numpy as np
import pytest

from dense3d.transfer_function.graph.adjacency import adjacency
from dense3d.transfer_function.graph.handmade import handmade_features
from dense3d.transfer_function.graph.intensity import normalised
from dense3d.transfer_function.graph.pyramid import pyramid
from dense3d.transfer_function.graph.supervoxels import number_of_supervoxels, supervoxels

SPACING = (1.0, 2.0, 3.0)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    values = np.where(np.arange(30)[:, None, None] < 13, 0.2, 0.7) + rng.normal(0, 0.02, (30, 16, 12))
    values = values.astype(np.float32)
    return values, supervoxels(values, SPACING, 200)


def test_ids_partition_the_grid(scene):
    values, regions = scene
    assert np.unique(regions.ids).tolist() == list(range(regions.count))
    np.testing.assert_array_equal(np.bincount(regions.ids.ravel()), regions.sizes)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in values.shape], indexing="ij"), -1)
    for axis in range(3):
        mean = np.bincount(regions.ids.ravel(), grid[..., axis].ravel()) / regions.sizes
        np.testing.assert_allclose(regions.centres[:, axis], mean)


def test_regions_do_not_cross_a_strong_edge(scene):
    _, regions = scene
    left, right = np.unique(regions.ids[:13]), np.unique(regions.ids[13:])
    assert not set(left) & set(right)


def test_regions_are_as_long_along_every_axis_in_millimetres():
    regions = supervoxels(np.zeros((60, 30, 20), np.float32), SPACING, 1000)
    low, high = regions.boxes
    extent = ((high - low) * np.array(SPACING)).mean(axis=0)
    assert extent.max() / extent.min() < 1.5


def test_voxels_of_a_region(scene):
    _, regions = scene
    for region in (0, regions.count - 1):
        np.testing.assert_array_equal(regions.voxels(region), np.argwhere(regions.ids == region))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_volume_has_mirrored_regions(axis):
    values = np.random.default_rng(1).random((16, 18, 14)).astype(np.float32)
    regions = supervoxels(values, SPACING, 100)
    mirrored = supervoxels(np.ascontiguousarray(np.flip(values, axis)), SPACING, 100)
    pairs = np.unique(np.stack([regions.ids.ravel(), np.flip(mirrored.ids, axis).ravel()]), axis=1)
    # equal distances and sums in another order may move single voxels
    ids = np.flip(mirrored.ids, axis)
    best = np.array([np.bincount(ids[regions.ids == r]).max() for r in range(regions.count)])
    assert best.sum() / values.size > 0.97
    assert pairs.shape[1] < 2 * regions.count


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 9), (5, 1, 1), (3, 3, 3)])
def test_thin_grids(shape):
    regions = supervoxels(np.zeros(shape, np.float32), SPACING, number_of_supervoxels(shape))
    assert regions.ids.shape == shape
    assert regions.count >= 1
    assert handmade_features(np.zeros(shape, np.float32), regions, SPACING).shape[0] == regions.count


def test_contacts_equal_a_plain_count(scene):
    values, regions = scene
    touching = adjacency(values, regions, SPACING)
    areas = (6.0, 3.0, 2.0)
    expected: dict = {}
    for axis in range(3):
        first, second = np.moveaxis(regions.ids, axis, 0), np.moveaxis(values, axis, 0)
        for a, b, u, v in zip(first[:-1].ravel(), first[1:].ravel(), second[:-1].ravel(), second[1:].ravel()):
            if a != b:
                area, step = expected.get((min(a, b), max(a, b)), (0.0, 0.0))
                expected[min(a, b), max(a, b)] = area + areas[axis], step + areas[axis] * abs(u - v)
    assert [tuple(pair) for pair in touching.pairs] == sorted(expected)
    area, step = np.array([expected[key] for key in sorted(expected)]).T
    np.testing.assert_allclose(touching.area, area, rtol=1e-5)
    np.testing.assert_allclose(touching.step, step / area, rtol=1e-4)


def test_intensity_is_monotone_and_ignores_units():
    values = np.random.default_rng(0).normal(0, 100, (12, 12, 12))
    scaled = normalised(values)
    order = np.argsort(values.ravel())
    assert (np.diff(scaled.ravel()[order]) >= 0).all()
    np.testing.assert_allclose(normalised(3 * values + 1000), scaled, atol=1e-3)
    assert scaled.min() == 0 and scaled.max() == 1


def test_an_outlier_does_not_flatten_the_rest():
    values = np.random.default_rng(0).random((20, 20, 20))
    values[0, 0, 0] = 1e9
    assert normalised(values).std() > 0.2


def test_levels_keep_places():
    x = np.arange(37, dtype=np.float32)
    ramp = np.ascontiguousarray(np.broadcast_to(x[:, None, None], (37, 20, 9)))
    voxels = np.array([[12.0, 10, 4], [20.5, 9, 3]])
    for level in pyramid(ramp, (1.0, 1.0, 4.0)):
        np.testing.assert_allclose(level.read(level.values, voxels), voxels[:, 0], atol=1e-3)
        np.testing.assert_allclose(level.spacing, level.factors * [1, 1, 4])
