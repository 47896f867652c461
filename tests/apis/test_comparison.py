"""Comparison of runs from logs written by hand, with their iterations and values known."""

from __future__ import annotations

import json

import pytest

from dense3d.apis.comparison import compare_runs, mean_curve, print_comparison, read_curve
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
