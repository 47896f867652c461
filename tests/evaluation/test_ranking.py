"""Rankings by standard scores: a table by hand, missing runs, affine changes, correlations, Pareto fronts."""

from __future__ import annotations

import math

import pytest

from dense3d.errors import DataError
from dense3d.evaluation.ranking import pareto_front, ranked, standard_scores, task_correlations

TABLE = {
    "classification": {"one": {"a": 1.0, "b": 2.0, "c": 3.0}, "two": {"a": 10.0, "b": 0.0, "c": 20.0}},
    "detection": {"coco": {"a": 5.0, "b": 1.0}},
}


def test_scores_are_those_of_the_table_by_hand():
    s = math.sqrt(1.5)
    found = {one.name: one for one in ranked(TABLE)}
    assert found["a"].scores == pytest.approx({"classification": (-s + 0) / 2, "detection": 1.0}, abs=1e-12)
    assert found["b"].scores == pytest.approx({"classification": (0 - s) / 2, "detection": -1.0}, abs=1e-12)
    assert found["c"].scores == pytest.approx({"classification": s}, abs=1e-12)  # not measured in detection
    assert [(one.name, one.place) for one in ranked(TABLE)] == [("c", 1), ("a", 2), ("b", 3)]


def test_affine_changes_of_a_measure_change_nothing():
    changed = dict(TABLE, detection={"coco": {n: 7 * v - 3 for n, v in TABLE["detection"]["coco"].items()}})
    for before, after in zip(ranked(TABLE), ranked(changed)):
        assert before.name == after.name and before.score == pytest.approx(after.score, abs=1e-12)
    turned = dict(TABLE, detection={"error": {n: -v for n, v in TABLE["detection"]["coco"].items()}})
    assert [one.name for one in ranked(turned, lower_is_better=["error"])] == [
        one.name for one in ranked(TABLE)
    ]


def test_equals_share_a_place_and_what_is_not_a_number_is_left_out():
    assert standard_scores({"a": 2.0, "b": 2.0}) == {"a": 0.0, "b": 0.0}
    assert standard_scores({"a": float("nan"), "b": 2.0}) == {"b": 0.0}
    assert [one.place for one in ranked({"t": {"m": {"a": 1.0, "b": 1.0, "c": 0.0}}})] == [1, 1, 3]
    with pytest.raises(DataError, match="no result"):
        ranked({"t": {"m": {}}})


def test_correlations_of_tasks():
    values = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 8.0}
    measures = {
        "t": {"m": values},
        "u": {"m": {n: 3 * v + 1 for n, v in values.items()}},
        "v": {"m": {n: -math.log(v) for n, v in values.items()}},
        "w": {"m": {"a": 1.0}},
    }
    pearson, spearman = task_correlations(measures), task_correlations(measures, of_ranks=True)
    assert pearson["t", "u"] == pytest.approx(1) and spearman["t", "v"] == pytest.approx(-1)
    assert -1 < pearson["t", "v"] < -0.8 and math.isnan(pearson["t", "w"])


def test_the_front_has_nobody_who_is_beaten():
    assert pareto_front([2.0, 1.0, 3.0, 2.0], [5.0, 5.0, 6.0, 7.0]) == [1, 3]
