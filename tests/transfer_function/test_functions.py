"""Transfer functions: curves, regions, histograms and presets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dense3d.errors import DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.functions import (
    Box,
    Gaussian,
    Regions,
    TransferFunction,
    histogram,
    histogram_2d,
    preset,
    preset_names,
)
from dense3d.transfer_function.functions.presets import HOUNSFIELD, PERCENTILES
from dense3d.transfer_function.rendering import Renderer, Scene, reference_picture
from dense3d.transfer_function.view_camera import Camera

CURVES = TransferFunction(
    [[-10, 0, 0.5, 1], [0, 1, 0.5, 0], [30, 0.2, 0.2, 0.2]], [[-5, 0], [5, 0.4], [5, 0.8], [20, 0.1]]
)


def test_curves_are_those_of_numpy():
    values = np.linspace(-20, 40, 301)
    values = values[np.abs(values - 5) > 1e-9]  # at a step numpy takes the lower side
    found = CURVES(values)
    for channel in range(3):
        expected = np.interp(values, CURVES.colors[:, 0], CURVES.colors[:, channel + 1])
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-12)
    low, high = values < 5, values > 5
    np.testing.assert_allclose(found[low, 3], np.interp(values[low], [-5, 5], [0, 0.4]), atol=1e-12)
    np.testing.assert_allclose(found[high, 3], np.interp(values[high], [5, 20], [0.8, 0.1]), atol=1e-12)
    assert CURVES(5.0)[3] == 0.8


def test_control_points_give_the_opacity_over_the_unit_distance():
    positions, rows = replace(CURVES, unit_distance=2.0).control_points()
    np.testing.assert_allclose(1 - np.exp(-rows[:, 3] * 2.0), CURVES(positions)[:, 3], atol=1e-12)


def test_moving_and_stretching_keep_the_shape():
    moved = CURVES.moved(offset=100, stretch=2)
    middle = (-5 + 20) / 2
    values = np.linspace(-20, 40, 50)
    np.testing.assert_allclose(moved(middle + 2 * (values - middle) + 100), CURVES(values), atol=1e-12)
    with pytest.raises(DataError, match="positive factor"):
        CURVES.moved(stretch=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colors": []}, "rows of 4 numbers"),
        ({"colors": [[0, 1, 1]]}, "rows of 4 numbers"),
        ({"colors": "red"}, "no table of numbers"),
        ({"opacities": [[0, 2]]}, "point 0 does not"),
        ({"opacities": [[0, 0], [float("nan"), 1]]}, "must be finite; point 1"),
        ({"opacities": [[0, 0], [5, 1], [3, 1]]}, "point 2 is below"),
        ({"opacities": [[k, 0] for k in range(5000)]}, "too many"),
        ({"unit_distance": 0}, "unit distance"),
    ],
)
def test_wrong_curves_are_named(change, message):
    with pytest.raises(DataError, match=message):
        replace(CURVES, **change)


def test_regions_lie_over_one_another():
    box = Box((0, 10), (2, np.inf), (1, 0, 0), 0.5)
    blob = Gaussian((5, 4), (1, 2), (0, 0, 1), 0.8)
    regions = Regions((box, blob))
    np.testing.assert_allclose(regions(5, 4), [0.5 / 1.3, 0, 0.8 / 1.3, 1 - 0.5 * 0.2])
    np.testing.assert_allclose(regions(5, 1), [0, 0, 1, 0.8 * np.exp(-((3 / 2) ** 2) / 2)])
    assert regions(10.1, 5)[3] == 0
    assert regions(0, 1e9)[3] == 0.5
    table = regions.table(-5, 15, 41, 65)
    values, slopes = np.linspace(-5, 15, 41), np.linspace(0, regions.steepest, 65)
    np.testing.assert_allclose(table, regions(values[:, None], slopes[None]), atol=1e-6)


def test_a_region_of_steep_values_shows_the_boundary_alone():
    """A ramp from 0 to 100 between two constant halves; the 1D function of the same values shows more."""
    values = np.repeat(np.repeat(np.clip(np.arange(30.0) * 10 - 100, 0, 100)[None], 24, 0)[..., None], 24, 2)
    renderer = Renderer(Volume(values, np.diag([2.0, 2, 2, 1])))  # 5 a millimetre in the ramp
    regions = Regions((Box((-1, 101), (4.0, np.inf), (1, 1, 1), 0.2),))
    scene = Scene(Camera(perspective=False), 20, 20, transfer=regions, shading=0)
    seen = reference_picture(renderer, scene)[10, 10, 3]
    # the slope is 4 or more over ten voxels, of which each has the opacity 0.2
    assert 1 - 0.8**8.5 < seen < 1 - 0.8**10.5
    none = replace(scene, transfer=Regions((Box((-1, 101), (5.5, 9), (1, 1, 1), 0.2),)))
    assert reference_picture(renderer, none)[10, 10, 3] == 0


@pytest.mark.parametrize(
    "region",
    [
        Box((3, 1), (0, 1), (1, 1, 1), 0.5),
        Box((0, 1), (0, float("nan")), (1, 1, 1), 0.5),
        Box((0, float("inf")), (0, 1), (1, 1, 1), 0.5),
        Gaussian((0, 1), (0, 1), (1, 1, 1), 0.5),
        Gaussian((0, 1), (1, 1), (1, 2, 1), 0.5),
        Gaussian((0, 1), (1, 1), (1, 1, 1), 1.5),
        Gaussian((0, 1), (1, 1), (1, 1), 0.5),
        "box",
    ],
)
def test_wrong_regions_are_named(region):
    with pytest.raises(DataError, match="region 0"):
        Regions((region,))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_histograms_are_those_of_numpy(dtype):
    values = (np.random.default_rng(0).standard_normal((20, 17, 9)) * 20 + 100).astype(dtype)
    volume = Volume(values, np.eye(4))
    found = histogram(volume, 37)
    counts, edges = np.histogram(values.astype(float), 37)
    assert (found.low, found.high) == (edges[0], edges[-1])
    assert found.counts.sum() == values.size
    assert np.abs(found.counts - counts).sum() <= 2  # rounding on an edge
    some = histogram(volume, 10, (90, 110))
    assert some.counts.sum() == ((values >= 90) & (values <= 110)).sum()


def test_2d_histograms_take_gradients_in_the_world():
    """With turned and anisotropic axes: the gradient of a linear volume is known."""
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.standard_normal((3, 3)))[0] * [0.5, 1.0, 3.0]
    affine = np.eye(4)
    affine[:3, :3] = axes
    slope = np.array([3.0, -2.0, 1.0])
    index = np.stack(np.meshgrid(*map(np.arange, (12, 14, 10)), indexing="ij"), -1)
    volume = Volume(index @ axes.T @ slope, affine)
    found = histogram_2d(volume, 16, 50, steepest=5.0)
    assert found.counts.sum() == volume.values.size
    inner = 10 * 12 * 8  # at the edge differences are halves
    assert found.counts[:, int(np.linalg.norm(slope) / 5 * 50)].sum() >= inner
    np.testing.assert_array_equal(found.counts.sum(1), histogram(volume, 16).counts)
    assert found.picture().shape == (50, 16)


@pytest.mark.parametrize(
    "call",
    [
        lambda volume: histogram(volume, 0),
        lambda volume: histogram(volume, 8, (3, 3)),
        lambda volume: histogram_2d(volume, 8, 10**6),
    ],
)
def test_wrong_histograms_are_named(call):
    with pytest.raises(DataError, match="histogram"):
        call(Volume(np.zeros((3, 3, 3)), np.eye(4)))


def test_constant_volumes_have_histograms():
    volume = Volume(np.full((3, 4, 5), 7, np.int16), np.eye(4))
    assert histogram(volume, 4).counts.tolist() == [60, 0, 0, 0]
    assert histogram_2d(volume, 4, 3).counts.sum() == 60


def phantom(modality: str | None, scale: float = 1.0, offset: float = 0.0) -> Volume:
    """Air, fat, organ, vessel and bone in Hounsfield units, in layers; scaled."""
    values = np.repeat([-1000.0, -1000, -100, 50, 60, 300, 1000], 300).reshape(7, 20, 15)
    values = values + np.random.default_rng(0).normal(0, 8, values.shape)
    return Volume((values * scale + offset).astype(np.float32), np.eye(4), modality=modality)


def opacity(name: str, value: float, volume: Volume) -> float:
    return float(preset(name, volume)(value)[3])


def test_ct_presets_show_what_they_are_named_after():
    volume = phantom("CT")
    assert opacity("CT bone", 1000, volume) > 0.5 > 0 == opacity("CT bone", 60, volume)
    assert opacity("CT vessels", 300, volume) > 0.3 > 0 == opacity("CT vessels", 50, volume)
    assert opacity("CT soft tissue", 60, volume) > 0.03
    assert opacity("CT lung", -750, volume) > 0.03 > 0 == opacity("CT lung", 500, volume)
    assert opacity("CT skin", 0, volume) > 0.8
    for name in HOUNSFIELD:
        assert opacity(name, -1000, volume) == 0
        colours = preset(name, volume).colors[:, 1:]
        assert np.ptp(colours, axis=0).max() > 0.1


@pytest.mark.parametrize("name", PERCENTILES)
def test_percentile_presets_follow_the_values(name):
    volume, other = phantom("MR"), phantom("MR", scale=0.01, offset=5)
    assert opacity(name, -1000, volume) == 0
    assert opacity(name, volume.values.max(), volume) > 0.4
    first, second = preset(name, volume), preset(name, other)
    np.testing.assert_allclose(second.opacities[:, 0], first.opacities[:, 0] * 0.01 + 5, atol=2e-3)


def test_presets_are_offered_by_modality():
    assert preset_names(phantom("CT"))[0] == "CT bone"
    assert preset_names(phantom(None))[0] == "CT bone"  # the values look like Hounsfield units
    assert preset_names(phantom("MR"))[0] == "MR"
    assert preset_names(phantom(None, scale=0.001))[0] == "generic"
    with pytest.raises(DataError, match="did you mean 'CT bone'"):
        preset("CT bones", phantom("CT"))


def test_presets_of_constant_volumes_are_functions():
    for name in PERCENTILES:
        preset(name, Volume(np.full((3, 3, 3), 4.0), np.eye(4)))
