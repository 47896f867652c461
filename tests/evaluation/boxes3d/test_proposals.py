"""Proposals without classes: average precision, recall and AR by hand; files and the command."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.boxes3d import SceneBoxes, get_protocol, write_scene_boxes
from dense3d.evaluation.boxes3d.proposals import best_pairs, cover
from dense3d.registry import METRICS

CUBE = [0.0, 0, 0, 2, 2, 2, 0]


def _at(x, height=2.0):
    """A box of IoU ``height / 2`` with the cube at the same x."""
    return [x, 0, (height - 2) / 2, 2, 2, height, 0]


TRUTH = SceneBoxes.of({"room": {"boxes": [_at(0), _at(9)], "labels": [3, 0]}}, ["a", "b", "c", "d"])


def _found(rows, scores):
    return SceneBoxes.of({"room": {"boxes": rows, "labels": [0] * len(rows), "scores": scores}}, ["object"])


def test_truth_as_proposals_scores_one():
    figures = get_protocol("nerf-rpn").evaluate(TRUTH, _found([_at(0), _at(9)], [0.4, 0.9])).flat()
    assert set(figures.values()) == {1.0}


def test_figures_by_hand():
    """One proposal covers 60 %, one 30 %, and the best scored one covers nothing."""
    found = _found([_at(0, 1.2), _at(9, 0.6), _at(30)], [0.8, 0.7, 0.9])
    figures = get_protocol("nerf-rpn").evaluate(TRUTH, found).flat()
    assert figures["AP50"] == pytest.approx(0.5 * 1 / 2)  # recall 1/2 at precision 1/2
    assert figures["AP25"] == pytest.approx(2 / 3)  # the envelope is 2/3 all along
    assert (figures["AP75"], figures["recall50_top300"], figures["recall25_top300"]) == (0, 0.5, 1)
    # 0.25 and 0.30 find both (0.3 is reached to rounding or not), 0.35 ... 0.60 one
    assert figures["AR_top300"] * 15 == pytest.approx(2 * 0.5 * 2 + 6 * 0.5, abs=0.51)


def test_an_object_takes_one_proposal_and_limits_count_by_scene():
    found = _found([_at(0), _at(0), _at(9)], [0.9, 0.8, 0.7])
    protocol = get_protocol("nerf-rpn")
    limited = type(protocol)("top", limits=(2, 3)).evaluate(TRUTH, found)
    assert (limited.recalls[2]["recall50"], limited.recalls[3]["recall50"]) == (0.5, 1.0)
    covered = cover(TRUTH, found)
    assert covered.overlaps.tolist() == [1, 1] and covered.proposal_overlaps.sum() == 2


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_those_of_a_search_one_by_one(seed):
    overlaps = np.random.default_rng(seed).random((7, 4))
    left, expected = overlaps.copy(), set()
    for _ in range(4):
        row, column = divmod(int(left.argmax()), 4)
        expected.add((row, column))
        left[row], left[:, column] = -1, -1
    rows, columns = best_pairs(overlaps)
    assert set(zip(rows.tolist(), columns.tolist())) == expected


def test_empty_scenes_and_bad_input():
    protocol = get_protocol("nerf-rpn")
    truth = SceneBoxes.of(
        {"full": {"boxes": [CUBE], "labels": [0]}, "bare": {"boxes": [], "labels": []}}, ["x"]
    )
    found = {"bare": {"boxes": [CUBE], "labels": [0], "scores": [0.5]}}
    result = protocol.evaluate(truth, SceneBoxes.of(found, ["x"]))
    assert result.flat()["AP25"] == 0 and np.isnan(result.flat()["AR_top300"])
    assert any("leaves out 2 scenes" in notice for notice in result.notices)
    with pytest.raises(DataError, match="no scores"):
        protocol.evaluate(truth, truth)
    with pytest.raises(DataError, match="'hall'"):
        protocol.evaluate(truth, SceneBoxes.of({"hall": found["bare"]}, ["x"]))


def test_what_is_found_in_a_scene_without_objects_is_false():
    """As in the official evaluator's average precision: all scenes are pooled."""
    truth = SceneBoxes.of(
        {"full": {"boxes": [CUBE], "labels": [0]}, "bare": {"boxes": [], "labels": []}}, ["x"]
    )
    found = {"full": {"boxes": [CUBE], "labels": [0], "scores": [0.5]}}
    found["bare"] = {"boxes": [_at(0), _at(5)], "labels": [0, 0], "scores": [0.9, 0.4]}
    figures = get_protocol("nerf-rpn").evaluate(truth, SceneBoxes.of(found, ["x"])).flat()
    assert figures["AP25"] == 0.5 and figures["recall25_top300"] == 1  # one false comes first


def test_precision_of_the_best_of_each_scene():
    found = _found([_at(30), _at(0), _at(9)], [0.9, 0.8, 0.7])
    limited = get_protocol("nerf-rpn", top=2).evaluate(TRUTH, found)
    assert (limited.flat()["AP50"], limited.flat()["recall50_top300"]) == (0.25, 1.0)
    assert limited.protocol == "nerf-rpn (best 2 of a scene)"
    for name, top in (("nerf-rpn", 0), ("scannet", 5)):
        with pytest.raises(ConfigError, match=f"top={top}"):
            get_protocol(name, top=top)


def test_the_metric_ignores_classes_and_takes_corners(tmp_path):
    with DefaultScope.overwrite_default_scope("dense3d"):
        metric = METRICS.build(
            dict(type="Boxes3DMetric", protocol="nerf-rpn", result_file=str(tmp_path / "r.json"))
        )
    metric.dataset_meta = {}
    boxes = torch.tensor([CUBE])
    sample = dict(sample_id="room", gt_boxes=torch.tensor([[-1.0, -1, -1, 1, 1, 1]]), pred_boxes=boxes)
    metric.process(None, [{**sample, "pred_box_scores": torch.ones(1), "pred_box_labels": torch.ones(1)}])
    assert metric.evaluate(1)["boxes3d/AP50"] == 1.0
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["figures"]["recall50_top300"] == 1.0 and written["protocol"] == "nerf-rpn"


def test_the_command(tmp_path, capsys):
    from dense3d.cli.dispatch import main

    paths = [tmp_path / name for name in ("found.npz", "truth.json")]
    write_scene_boxes(_found([_at(0)], [0.9]), paths[0])
    write_scene_boxes(TRUTH, paths[1])
    out = tmp_path / "figures.csv"
    main(["eval-boxes3d", *map(str, paths), "--protocol", "nerf-rpn", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "protocol nerf-rpn, 1 scenes\n2 objects, 1 proposals" in printed and "AP50 0.5000" in printed
    header, row = out.read_text().splitlines()
    assert dict(zip(header.split(","), row.split(",")))["AP50"] == "0.5"
