"""Results on the full grid follow edges that the working grid cannot show, in bounded memory."""

import tracemalloc

import numpy as np
import pytest

from dense3d.structures.volume import Volume
from dense3d.structures.volume_blocks import block_means
from dense3d.transfer_function import Workspace
from dense3d.transfer_function.edge_upsampling import slowest_first, upsampled_along_edges
from dense3d.transfer_function.measures import dice
from dense3d.transfer_function.resolving import resolve
from dense3d.transfer_function.upsampling import upsampled


def ball(shape=(45, 47, 42), radius=13.4) -> np.ndarray:
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return np.linalg.norm(places - np.array(shape) / 2, axis=-1) < radius


def block_scores(truth: np.ndarray, factors) -> np.ndarray:
    """What a perfect classifier says on the working grid: the class of most of each block."""
    return np.where(block_means(truth.astype(float), factors) > 0.5, np.uint8(240), np.uint8(15))[None]


def brought(scores, values, factors, held=None) -> np.ndarray:
    working = block_means(values, factors)
    labels = resolve(scores, [0.5] * len(scores))
    held = np.zeros(working.shape, bool) if held is None else held
    slabs = dict(upsampled_along_edges(scores, labels, values, working, factors, held))
    return np.concatenate(list(slabs.values()), 1)


@pytest.mark.parametrize("factors", [(2, 2, 2), (4, 4, 4), (3, 1, 2)])
def test_a_sharp_edge_is_found_where_interpolation_misses_it(factors):
    truth = ball()
    noise = np.random.default_rng(0).normal(0, 10, truth.shape)
    values = (np.where(truth, 300.0, 100.0) + noise).astype(np.float32)
    scores = block_scores(truth, factors)
    interpolated = np.concatenate([slab for _, slab in upsampled(scores, truth.shape, factors)], 1)
    missed, missed_before = (
        1 - dice(resolve(one, [0.5]), truth, 1, 1) for one in (brought(scores, values, factors), interpolated)
    )
    assert missed < 0.01 and missed < 0.5 * missed_before


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_export_has_the_edge_of_the_file(order):
    truth = ball()
    values = np.asarray(np.where(truth, 300, 100).astype(np.int16), order=order)
    workspace = Workspace(Volume(values, np.eye(4)), limit=16)
    workspace.click(workspace.add_class("ball"), (22, 23, 21))
    workspace.click(0, [(2, 2, 2), (42, 44, 40), (2, 44, 20)])
    assert workspace.factors == (3, 3, 3)
    np.testing.assert_array_equal(workspace.labels_full(), truth)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_scores_and_volume_give_the_mirrored_result(axis):
    random = np.random.default_rng(0)
    values, scores = random.random((8, 12, 9)), random.integers(0, 256, (2, 4, 6, 3)).astype(np.uint8)
    turned = [np.ascontiguousarray(np.flip(one, a)) for one, a in ((scores, axis + 1), (values, axis))]
    found, mirrored = brought(scores, values, (2, 2, 3)), brought(*turned, (2, 2, 3))
    assert np.abs(np.flip(mirrored, axis + 1).astype(int) - found).max() <= 1


def test_in_slabs_as_at_once_and_marks_hold(monkeypatch):
    random = np.random.default_rng(0)
    values, scores = random.random((9, 8, 5)), random.integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    held = random.random((5, 4, 3)) < 0.2
    whole = brought(scores, values, (2, 2, 2), held)
    monkeypatch.setattr("dense3d.transfer_function.upsampling.SLAB_VALUES", 120)
    np.testing.assert_array_equal(brought(scores, values, (2, 2, 2), held), whole)
    for axis in (1, 2, 3):
        scores = scores.repeat(2, axis)
    of_block = held.repeat(2, 0).repeat(2, 1).repeat(2, 2)[:9, :8, :5]
    np.testing.assert_array_equal(whole[:, of_block], scores[:, :9, :8, :5][:, of_block])


def test_without_reduction_scores_stay():
    random = np.random.default_rng(0)
    values, scores = random.random((4, 5, 6)), random.integers(0, 256, (2, 4, 5, 6)).astype(np.uint8)
    np.testing.assert_array_equal(brought(scores, values, (1, 1, 1)), scores)
    assert brought(scores[:0], values, (1, 1, 1)).shape == (0, 4, 5, 6)


def test_constant_volumes_and_single_slices():
    scores = np.zeros((1, 4, 5, 1), np.uint8)
    scores[:, 2:] = 255
    found = brought(scores, np.full((8, 10, 1), 7, np.uint8), (2, 2, 1))
    np.testing.assert_array_equal(found[0] > 127, np.arange(8)[:, None, None].repeat(10, 1) >= 4)


def test_slabs_follow_the_order_of_the_file(tmp_path):
    for order, expected in (("C", 0), ("F", 2)):
        mapped = np.memmap(tmp_path / f"v{order}", np.int16, "w+", shape=(4, 5, 6), order=order)
        assert slowest_first(mapped)[0] == expected


def test_memory_does_not_grow_with_the_volume(tmp_path, monkeypatch):
    monkeypatch.setattr("dense3d.transfer_function.upsampling.SLAB_VALUES", 2**16)
    peaks = []
    for length in (64, 512):
        truth = np.zeros((length, 64, 64), np.int16)
        truth[: length // 2, 10:50, 10:50] = 100
        mapped = np.memmap(tmp_path / f"{length}", np.int16, "w+", shape=truth.shape)
        mapped[:] = truth
        factors = (length // 16, 4, 4)
        working = block_means(truth, factors)
        scores, nothing = block_scores(truth > 0, factors), np.zeros(working.shape, bool)
        slabs = upsampled_along_edges(scores, scores[0] // 128, mapped, working, factors, nothing)
        next(slabs)  # compiled
        tracemalloc.start()
        for _ in slabs:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
