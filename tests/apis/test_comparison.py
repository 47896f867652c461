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


def test_evaluations_between_two_rows_of_losses(tmp_path):
    rows = [training(10), training(20), {**evaluation(0.1, 0), "iter": 25}, training(30)]
    write_log(tmp_path, [*rows, {**evaluation(0.3, 0), "iter": 50}])
    assert read_curve(tmp_path, "coco/bbox_mAP") == {25: 0.1, 50: 0.3}
    write_log(tmp_path / "early", [{**evaluation(0.1, 0), "iter": 5}])
    assert read_curve(tmp_path / "early", "coco/bbox_mAP") == {5: 0.1}


def test_older_logs_of_epochs_are_placed_by_the_text_log(tmp_path):
    write_log(tmp_path, [training(10), training(20), evaluation(0.1, 1), training(30), evaluation(0.3, 2)])
    (tmp_path / "1/1.log").write_text("a line\nEpoch(train)  [1][10/25]  lr: 1\nEpoch(train) [2][ 5/25]\n")
    assert read_curve(tmp_path, "coco/bbox_mAP") == {25: 0.1, 50: 0.3}


@pytest.mark.parametrize(
    ("interval", "rows", "expected"),
    [
        (
            25,
            [training(10), training(20), evaluation(0.1, 0), training(30), evaluation(0.3, 0)],
            {25: 0.1, 50: 0.3},
        ),
        (
            5,
            [evaluation(0.1, 0), training(10), evaluation(0.2, 0), evaluation(0.3, 0)],
            {5: 0.1, 10: 0.2, 15: 0.3},
        ),
        (
            20,
            [training(20), evaluation(0.1, 0), training(40), training(55), evaluation(0.2, 0)],
            {20: 0.1, 55: 0.2},
        ),
    ],
)
def test_older_logs_of_iterations_are_placed_by_the_config(tmp_path, interval, rows, expected):
    write_log(tmp_path, rows)
    config = (
        f"model = dict(a=1)\ntrain_cfg = dict(\n    max_iters=55, type='Loop', val_interval={interval})\n"
    )
    (tmp_path / "1/vis_data/config.py").write_text(config)
    assert read_curve(tmp_path, "coco/bbox_mAP") == expected


def test_a_metric_that_cannot_be_placed_is_not_called_unknown(tmp_path):
    write_log(tmp_path, [evaluation(0.1, 1)])
    with pytest.raises(DataError, match="does not say after which iteration coco/bbox_mAP was evaluated"):
        read_curve(tmp_path, "coco/bbox_mAP")


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
