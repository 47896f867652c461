"""Errors of depth in closed form, and what each part of a protocol does."""

from __future__ import annotations

import numpy as np
import pytest

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.depth import (
    PROTOCOLS,
    compare_depth,
    compare_disparity,
    counting_pixels,
    crop_window,
    get_protocol,
)

NONE = PROTOCOLS["none"]


def maps(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = (1 + 99 * generator.random((60, 90))).astype(np.float32)
    return truth * np.exp(0.2 * generator.standard_normal(truth.shape)).astype(np.float32), truth


def plain(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The definitions, pixel by pixel."""
    rows = []
    for p, t in zip(prediction.ravel().tolist(), truth.ravel().tolist()):
        ratio = max(p / t, t / p)
        log = np.log(p / t)
        rows.append(
            [abs(p - t) / t, (p - t) ** 2 / t, (p - t) ** 2, log**2, *(ratio < 1.25**k for k in (1, 2, 3))]
        )
    means = np.mean(rows, axis=0)
    means[2:4] = np.sqrt(means[2:4])
    return dict(zip(("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3"), means))


def test_the_definitions():
    prediction, truth = maps()
    values = compare_depth(prediction, truth, NONE).tally.values()
    assert values == pytest.approx(plain(prediction, truth))


def test_crop_limits_and_clamp():
    prediction, truth = maps()
    truth[::3] = 0
    truth[1, 5] = np.inf
    found = compare_depth(prediction, truth, PROTOCOLS["kitti-eigen-garg"])
    top, bottom, left, right = crop_window("garg", 60, 90)
    window = np.zeros(truth.shape, bool)
    window[top:bottom, left:right] = True
    mask = window & (truth > 1e-3) & (truth < 80)
    assert found.tally.pixels == mask.sum()
    assert found.tally.values() == pytest.approx(plain(np.minimum(prediction, 80)[mask], truth[mask]))
    assert found.clamped == (prediction[mask] > 80).sum() > 0
    improved = counting_pixels(truth, PROTOCOLS["kitti-improved"])
    assert improved.sum() == (np.isfinite(truth) & (truth > 0)).sum()


def test_median_scaling_forgives_any_factor():
    prediction, truth = maps()
    protocol = get_protocol("kitti-eigen", median_scaling=True)
    found = [compare_depth(factor * prediction, truth, protocol) for factor in (1.0, 7.0)]
    assert found[0].tally.values() == pytest.approx(found[1].tally.values(), rel=1e-5)
    assert found[0].ratio == pytest.approx(7 * found[1].ratio, rel=1e-5)
    with pytest.raises(DataError, match="positive median"):
        compare_depth(0 * prediction, truth, protocol)


def test_what_is_resized_makes_a_difference():
    """Between 1 m and 3 m lies 2 m in depth, 1.5 m in inverse depth."""
    prediction = np.array([[1.0, 3.0]], np.float32)
    for resize, middle in (("depth", 2.0), ("inverse", 1.5)):
        truth = np.zeros((1, 6), np.float32)
        truth[0, 2:4] = 1.0
        protocol = get_protocol("none", resize=resize)
        for inverse in (False, True):
            given = 1 / prediction if inverse else prediction
            abs_rel = compare_depth(given, truth, protocol, inverse=inverse).tally.values()["abs_rel"]
            sixth = np.array([1 / 3, 2 / 3])  # half-pixel centres: columns 2 and 3 of 6 in those of 2
            mixed = [1 * (1 - w) + 3 * w if resize == "depth" else 1 / (1 - w + w / 3) for w in sixth]
            assert abs_rel == pytest.approx(np.mean(mixed) - 1, rel=1e-5)
            assert min(mixed) < middle < max(mixed)


def test_clamping_before_the_resize_makes_a_difference():
    prediction = np.array([[10.0, 1000.0]], np.float32)
    truth = np.zeros((1, 6), np.float32)
    truth[0, 2] = 10.0
    late = compare_depth(prediction, truth, get_protocol("none", clamp=(1e-3, 120.0))).tally.values()
    early = compare_depth(prediction, truth, PROTOCOLS["drivingstereo"]).tally.values()
    assert early["rmse"] == pytest.approx(110 / 3, rel=1e-5)
    assert late["rmse"] == pytest.approx(110, rel=1e-5)


def test_holes():
    prediction, truth = maps()
    prediction[:10], prediction[10:20] = 0, np.inf
    found = compare_depth(prediction, truth, PROTOCOLS["kitti-improved"])
    assert found.holes == 1800 and found.tally.predicted == 5400
    left = compare_depth(prediction, truth, PROTOCOLS["kitti-improved"], skip_holes=True)
    assert left.tally.values() == pytest.approx(plain(np.minimum(prediction[20:], 80), truth[20:]))
    with pytest.raises(DataError, match="infinite at 900 of 5400 pixels"):
        compare_depth(prediction, truth, NONE)


def test_an_empty_crop_counts_nothing():
    prediction, truth = maps()
    found = compare_depth(prediction, np.zeros_like(truth), NONE)
    assert found.tally.pixels == 0
    assert np.isnan(found.tally.values()["abs_rel"])


def test_disparity_holes_limits_and_strict_comparison():
    truth = np.array([[10.0, 20.0, 200.0, np.inf, 100.0, 50.0]])
    prediction = np.array([[10.5, np.inf, 1.0, 3.0, 104.0, 54.0]])
    found = compare_disparity(prediction, truth, PROTOCOLS["sceneflow-192"])
    values = found.regions["all"].values()
    assert found.holes == 1 and found.regions["all"].pixels == 4
    assert values["EPE"] == pytest.approx((0.5 + 4 + 4) / 3)
    assert values["bad-0.5"] == 75  # an error of exactly 0.5 is none
    assert values["D1"] == 50  # 4 of 100 pixels is within 5 percent; 4 of 50 is not, nor is the hole
    skipped = compare_disparity(prediction, truth, PROTOCOLS["sceneflow-192"], holes="skip")
    assert skipped.regions["all"].values()["D1"] == pytest.approx(100 / 3)


def test_sizes_and_values_that_are_refused():
    prediction, truth = maps()
    with pytest.raises(DataError, match="NaN"):
        compare_depth(np.full_like(prediction, np.nan), truth, NONE)
    with pytest.raises(DataError, match="rows and columns"):
        compare_depth(prediction[None], truth, NONE)
    with pytest.raises(DataError, match="30x90, the ground truth 60x90: both must be of one size"):
        compare_disparity(prediction[::2], truth, PROTOCOLS["disparity"])
    with pytest.raises(DataError, match="as the protocol says"):
        compare_disparity(prediction, truth, PROTOCOLS["spring"])
    for changes in (dict(crop="gar"), dict(resize="disparity"), dict(mean="batch"), dict(clamp=(5.0, 1.0))):
        with pytest.raises(ConfigError):
            get_protocol("none", **changes)
