"""Comparison of runs from logs written by hand, with their iterations and values known."""

from __future__ import annotations

import json

import pytest

from dense3d.apis.comparison import (
    compare_runs,
    mean_curve,
    paired_difference,
    print_comparison,
    read_curve,
)
from dense3d.errors import ConfigError, DataError


def write_log(run, rows, name="1") -> None:
    log = run / name / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))


def evaluation(value: float, epoch: int) -> dict:
    return {"coco/bbox_mAP": value, "time": 0.1, "step": epoch}


def training(iteration: int) -> dict:
    return {"loss": 1.0, "iter": iteration, "step": iteration}


def test_evaluations_are_placed_at_the_iteration_trained_before_them(tmp_path):
    write_log(tmp_path, [training(10), training(20), evaluation(0.1, 1), training(40), evaluation(0.3, 2)])
    assert read_curve(tmp_path, "coco/bbox_mAP") == {20: 0.1, 40: 0.3}


def test_a_resumed_run_goes_on_and_a_cut_line_is_passed_over(tmp_path):
    write_log(tmp_path, [training(20), evaluation(0.1, 1), '{"loss": 1.0, "it'], "1")
    write_log(tmp_path, [training(40), evaluation(0.3, 2)], "2")
    assert read_curve(tmp_path, "coco/bbox_mAP") == {20: 0.1, 40: 0.3}


def test_means_are_taken_where_all_runs_were_evaluated(tmp_path, capsys):
    write_log(tmp_path / "a", [training(20), evaluation(0.1, 1), training(40), evaluation(0.3, 2)])
    write_log(tmp_path / "b", [training(20), evaluation(0.2, 1)])
    picture = tmp_path / "plot.png"
    curves = compare_runs({"ours": [tmp_path / "a", tmp_path / "b"]}, "coco/bbox_mAP", picture)
    assert mean_curve(curves["ours"]) == {20: (0.1, 0.2)}
    print_comparison(curves, "coco/bbox_mAP")
    assert "0.150  (0.100 0.200)" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match="holds no log of a training run"):
        read_curve(tmp_path, "coco/bbox_mAP")
    write_log(tmp_path / "early", [training(20)])
    with pytest.raises(DataError, match="no evaluation yet"):
        read_curve(tmp_path / "early", "coco/bbox_mAP")
    write_log(tmp_path / "other", [training(20), evaluation(0.1, 1)])
    with pytest.raises(ConfigError, match=r"'coco/bbox_AP'.*coco/bbox_mAP"):
        read_curve(tmp_path / "other", "coco/bbox_AP")


def test_runs_of_two_groups_are_compared_in_pairs(tmp_path, capsys):
    for name, value in dict(a0=0.1, a1=0.2, a2=0.3, b0=0.2, b1=0.4, b2=0.3).items():
        write_log(tmp_path / name, [training(20), evaluation(value, 1)])
    groups = {g: [tmp_path / f"{g}{seed}" for seed in range(3)] for g in "ab"}
    print_comparison(compare_runs(groups, "coco/bbox_mAP"), "coco/bbox_mAP")
    # differences 0.1, 0.2, 0: mean 0.1, standard deviation 0.1, standard error 0.1 / sqrt(3)
    expected = "b less a at iteration 20: mean +0.1000, standard error 0.0577, 3 pairs"
    assert expected in capsys.readouterr().out


def test_groups_without_pairs_are_refused():
    with pytest.raises(ConfigError, match="2 and 1 runs make no pairs"):
        paired_difference([{1: 0.0}, {1: 0.0}], [{1: 0.0}])
    with pytest.raises(ConfigError, match="no common iteration"):
        paired_difference([{1: 0.0}, {1: 0.0}], [{2: 0.0}, {2: 0.0}])
