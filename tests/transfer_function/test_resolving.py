"""One class a voxel, masks, and figures beside scikit-learn's definitions written out."""

from __future__ import annotations

import numpy as np

from dense3d.transfer_function.resolving import iso_masks, metrics, resolve


def test_resolve_voxel_by_voxel():
    maps = np.random.default_rng(0).integers(0, 6, (4, 500)).astype(np.uint8) * 50
    thresholds = (0.2, 0.5, 0.0, 0.97)
    expected = []
    for column in maps.T:
        label, best = 0, 0
        for number, (value, threshold) in enumerate(zip(column, thresholds), 1):
            if value > int(255 * threshold) and value > best:
                label, best = number, value
        expected.append(label)
    np.testing.assert_array_equal(resolve(maps, thresholds), expected)
    ids = (7, 3, 300, 1)
    named = resolve(maps, thresholds, ids)
    assert named.dtype == np.uint16
    np.testing.assert_array_equal(named, np.array([0, *ids])[expected])


def test_equal_maps_go_to_the_first_and_low_ones_to_nobody():
    maps = np.array([[100, 51, 0], [100, 51, 0]], np.uint8)
    assert resolve(maps, (0.2, 0.2), (5, 9)).tolist() == [5, 0, 0]
    assert resolve(np.zeros((0, 3), np.uint8), ()).tolist() == [0, 0, 0]
    # 255 * 0.486 = 123.93, cut to 123
    assert resolve(np.array([[123, 124]], np.uint8), (0.486,)).tolist() == [0, 1]


def test_masks_may_overlap_and_are_not_cut_to_whole_levels():
    maps = np.array([[102, 103], [127, 128]], np.uint8)
    assert iso_masks(maps, (0.4, 0.5)).tolist() == [[False, True], [False, True]]


def test_metrics_by_counting():
    generator = np.random.default_rng(0)
    labels, prediction = generator.integers(0, 4, (2, 6, 5, 4))
    prediction[prediction == 2] = 5  # a class that the reference has not, and one that is never predicted
    found = metrics(labels, prediction)
    assert found.classes == (0, 1, 2, 3, 5)
    for row, c in enumerate(found.classes):
        both = np.sum((labels == c) & (prediction == c))
        either = np.sum((labels == c) | (prediction == c))
        predicted, there = np.sum(prediction == c), np.sum(labels == c)
        assert found.iou[row] == both / either
        assert found.precision[row] == (both / predicted if predicted else 0)
        assert found.recall[row] == (both / there if there else 0)
        assert found.f1[row] == 2 * both / (predicted + there)
    assert found.accuracy == np.mean(labels == prediction)
    assert found.mean_iou == np.mean(found.iou)
    assert found.foreground_iou == np.mean(found.iou[1:])
