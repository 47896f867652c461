"""The macroscopic correlation against numpy's corrcoef, its closed forms and its definition by pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dense3d.evaluation.macroscopic_correlation import UNRELATED, macroscopic_correlation


def random_boxes(number: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 500, (number, 4))


@pytest.mark.parametrize("number", [2, 3, 20])
def test_equals_the_mean_over_pairs(number):
    boxes = random_boxes(number, number)
    pairs = [abs(np.corrcoef(a, b)[0, 1]) for a, b in itertools.combinations(boxes, 2)]
    assert macroscopic_correlation(boxes) == pytest.approx(np.mean(pairs))


def test_equals_the_formula_with_the_matrix():
    boxes = random_boxes(9, 0)
    total = np.abs(np.corrcoef(boxes)).sum()
    assert macroscopic_correlation(boxes) == pytest.approx((total - 9) / (9 * 8))


def test_scaled_shifted_and_mirrored_boxes_correlate_fully():
    box = np.array([10.0, 30, 50, 20])
    assert macroscopic_correlation(np.stack([box, 3 * box, box + 7, 100 - box])) == pytest.approx(1)


def test_orthogonal_boxes_do_not_correlate():
    assert macroscopic_correlation(np.array([[2, 1, 2, 1], [2, 2, 1, 1]])) == pytest.approx(0)


def test_box_of_equal_numbers_correlates_with_none():
    box = [10.0, 30, 50, 20]
    assert macroscopic_correlation(np.array([[9, 9, 9, 9], box, box])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_boxes_have_none(number):
    assert np.isnan(macroscopic_correlation(random_boxes(number, 0)))


def test_boxes_of_independent_numbers_give_one_half():
    boxes = np.random.default_rng(0).normal(size=(3000, 4))
    assert macroscopic_correlation(boxes) == pytest.approx(UNRELATED, abs=0.01)
