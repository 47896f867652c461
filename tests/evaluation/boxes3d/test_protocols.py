"""Protocols, files and the command: names of classes, what is refused, what is said."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dense3d.cli.dispatch import main
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.boxes3d import (
    PROTOCOLS,
    SceneBoxes,
    evaluate_classes,
    get_protocol,
    read_scene_boxes,
    write_scene_boxes,
)

BOX = [0.0, 0, 0, 1, 1, 1, 0]
TRUTH = {"room": {"boxes": [BOX], "labels": [0]}}
FOUND = {"room": {"boxes": [BOX], "labels": [0], "scores": [0.9]}}


def _pair(truth_class="chair", found_class="chair"):
    return SceneBoxes.of(TRUTH, [truth_class]), SceneBoxes.of(FOUND, [found_class])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_protocol_is_named_with_the_numbers(protocol):
    result = PROTOCOLS[protocol].evaluate(*_pair())
    assert result.table().startswith(f"protocol {protocol}, 1 scenes\n")
    assert result.to_dict()["protocol"] == protocol
    figures = result.flat()
    by_class = "AP50" if protocol == "nerf-rpn" else "AP50_chair"
    assert (figures["AP25"], figures[by_class]) == (1.0, 1.0)


def test_other_spellings_are_one_class_and_other_classes_are_refused():
    for ours, theirs in (("garbagebin", "Garbage Bin"), ("shower curtain", "showercurtrain")):
        assert PROTOCOLS["scannet"].evaluate(*_pair(ours, theirs)).means["AP25"] == 1
    assert PROTOCOLS["sunrgbd"].evaluate(*_pair("night_stand", "nightstand")).means["AP25"] == 1
    with pytest.raises(DataError, match=r"scene room is of the class 'chairs'.*did you mean 'chair'"):
        PROTOCOLS["scannet"].evaluate(*_pair("chair", "chairs"))


def test_classes_that_only_predictions_have_count_zero_and_are_said(one_pair):
    """As in 3DETR's evaluator; VoteNet's gives NaN."""
    result = get_protocol("indoor").evaluate(*one_pair)
    by_class = dict(zip(result.classes, result.figures.average_precision[0]))
    assert by_class["lamp"] == 0 and by_class["sofa"] == 0  # only predicted, only there
    assert result.means["AP25"] == pytest.approx(np.mean(list(by_class.values())))
    assert any(note.startswith("lamp: ") for note in result.notices)


def test_other_thresholds_are_told_by_the_name(one_pair):
    result = get_protocol("indoor", [0.15, 0.7]).evaluate(*one_pair)
    assert result.protocol == "indoor (IoU 0.15, 0.7)" and set(result.means) == {
        "AP15",
        "AR15",
        "AP70",
        "AR70",
    }
    for wrong in ([], [1.0], [-0.1]):
        with pytest.raises(ConfigError, match=r"in 0..1"):
            get_protocol("indoor", wrong)
    with pytest.raises(ConfigError, match=r"no protocol 'scanet'; did you mean 'scannet'"):
        get_protocol("scanet")


def test_scenes_without_predictions_are_missed_and_said():
    truth = SceneBoxes.of({**TRUTH, "hall": TRUTH["room"]}, ["chair"])
    result = get_protocol("indoor").evaluate(truth, SceneBoxes.of(FOUND, ["chair"]))
    assert result.means["AP25"] == 0.5 and "1 of 2 scenes have no predictions" in result.notices[0]
    with pytest.raises(DataError, match=r"predictions of scene 'hall', which the ground truth has not"):
        get_protocol("indoor").evaluate(_pair()[0], SceneBoxes.of({"hall": FOUND["room"]}, ["chair"]))


def test_turned_ground_truth_is_not_scannets():
    turned = SceneBoxes.of({"room": {"boxes": [[*BOX[:6], 0.3]], "labels": [0]}}, ["chair"])
    with pytest.raises(DataError, match=r"scannet is axis-aligned, but a box has the yaw 0.300"):
        PROTOCOLS["scannet"].evaluate(turned, _pair()[1])
    half_a_turn = SceneBoxes.of({"room": {"boxes": [[*BOX[:6], np.pi]], "labels": [0]}}, ["chair"])
    assert PROTOCOLS["scannet"].evaluate(half_a_turn, _pair()[1]).means["AP25"] == 1


def test_boxes_without_volume_match_nothing_and_are_said():
    flat = {"room": {"boxes": [[0, 0, 0, 1, 1, 0, 0]], "labels": [0]}}
    result = get_protocol("indoor").evaluate(SceneBoxes.of(flat, ["chair"]), _pair()[1])
    assert result.means["AP25"] == 0 and "1 ground truths have no volume" in result.notices[0]


def test_predicted_negative_sizes_count_as_officially():
    """The official rectangle may run the other way round; a negative height leaves no common one."""
    for size, expected in (((-1, 1, 1), 1), ((1, -1, 1), 1), ((-1, -1, 1), 1), ((1, 1, -1), 0)):
        entry = {"boxes": [[0, 0, 0, *size, 0]], "labels": [0], "scores": [0.9]}
        result = get_protocol("indoor").evaluate(_pair()[0], SceneBoxes.of({"room": entry}, ["chair"]))
        assert result.means["AP25"] == expected and "1 predictions have a negative size" in result.notices[0]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"boxes": [[0, 0, 0, 1, 1, -1, 0]], "labels": [0]}, r"scene room: a box has a negative size"),
        ({"boxes": [[np.nan, 0, 0, 1, 1, 1, 0]], "labels": [0]}, r"scene room: a box is not finite"),
        ({"boxes": [[*BOX[:6], 90]], "labels": [0]}, r"the yaw 90, .*multiply degrees by pi / 180"),
        ({"boxes": [BOX], "labels": [3]}, r"scene room: a box has the label 3, but there are 1 classes"),
        ({"boxes": [BOX], "labels": [0.7]}, r"scene room: a box has the label 0.7, which is no whole number"),
        ({"boxes": [BOX], "labels": [np.nan]}, r"scene room: a box has the label nan"),
        ({"boxes": [BOX], "labels": []}, r"scene room: 1 boxes, 0 labels"),
        ({"boxes": [BOX[:6]], "labels": [0]}, r"scene room: boxes are \(K, 7\): centre, sizes, yaw"),
        ({"labels": [0]}, r"scene room: its boxes cannot be read"),
        ({"boxes": "x", "labels": [0]}, r"scene room: its boxes cannot be read"),
    ],
)
def test_bad_boxes_are_one_sentence(entry, reason):
    with pytest.raises(DataError, match=reason):
        SceneBoxes.of({"room": entry}, ["chair"])


@pytest.mark.parametrize("scene", [-1, 1])
def test_a_box_of_no_scene_is_refused(scene, tmp_path):
    """One of the scene -1 would be counted in the last."""
    file = tmp_path / "boxes.npz"
    np.savez(file, scenes=["room"], classes=["chair"], scene=[scene], boxes=[BOX], labels=[0])
    with pytest.raises(DataError, match=rf"boxes.npz: a box is of scene {scene}, but there are 1 scenes"):
        read_scene_boxes(file)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_files_give_back_what_they_took(suffix, tmp_path, one_pair):
    for boxes in one_pair:
        back = read_scene_boxes(write_scene_boxes(boxes, tmp_path / f"boxes{suffix}"))
        assert (back.scenes, back.classes) == (boxes.scenes, boxes.classes)
        for name in ("scene", "labels"):
            np.testing.assert_array_equal(getattr(back, name), getattr(boxes, name))
        np.testing.assert_allclose(back.boxes, boxes.boxes, atol=1e-5)
        assert (back.scores is None) == (boxes.scores is None)


def test_the_command(tmp_path, capsys, one_pair):
    truth, found = one_pair
    gt, pred = tmp_path / "gt.json", tmp_path / "pred.npz"
    write_scene_boxes(truth, gt)
    write_scene_boxes(replace(found, scores=found.scores.round(3)), pred)
    out = tmp_path / "figures.csv"
    words = ["eval-boxes3d", str(pred), str(gt), "--protocol", "indoor", "--out", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("protocol indoor, 6 scenes")
    expected = evaluate_classes(truth, found, (0.25,)).average_precision[0]
    row = next(line for line in printed.splitlines() if line.startswith("bed"))
    assert float(row.split()[3]) == pytest.approx(expected[0], abs=2e-3)
    assert out.read_text().splitlines()[0] == "protocol,class,ground_truths,detections,AP25,AR25,AP50,AR50"
    assert main([*words[:-1], str(tmp_path / "figures.json")]) == 0
    assert json.loads((tmp_path / "figures.json").read_text())["protocol"] == "indoor"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "cannot be read as boxes"),
        ("[]", "cannot be read as boxes"),
        ('{"classes": ["chair"]}', "cannot be read as boxes"),
        ('{"classes": ["chair"], "scenes": {"a": {"boxes": [], "labels": ["bed"]}}}', "class 'bed' is not"),
        ('{"classes": ["chair"], "scenes": {"a": {"boxes": [[1]], "labels": [0]}}}', "scene a: boxes are"),
        ('{"classes": ["chair"], "scenes": {"a": []}}', "cannot be read as boxes"),
    ],
)
def test_bad_files_are_one_sentence(content, reason, tmp_path, capsys):
    file = tmp_path / "pred.json"
    file.write_text(content)
    assert main(["eval-boxes3d", str(file), str(file), "--protocol", "indoor"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}") and reason in error and error.count("\n") == 1


def test_ground_truth_in_place_of_predictions_is_refused(tmp_path, capsys):
    file = write_scene_boxes(_pair()[0], tmp_path / "gt.json")
    assert main(["eval-boxes3d", str(file), str(file), "--protocol", "indoor"]) == 2
    assert "boxes without scores: is it the ground truth?" in capsys.readouterr().err
    found = write_scene_boxes(_pair()[1], tmp_path / "found.json")
    assert main(["eval-boxes3d", str(found), str(found), "--protocol", "indoor"]) == 2
    assert "boxes with scores: are these the predictions?" in capsys.readouterr().err
    assert main(["eval-boxes3d", "a.txt", str(file), "--protocol", "indoor"]) == 2
    assert "boxes are kept as .json or .npz" in capsys.readouterr().err
    (tmp_path / "cut.npz").write_bytes(b"PK")
    assert main(["eval-boxes3d", str(tmp_path / "cut.npz"), str(file), "--protocol", "indoor"]) == 2
    assert "cut.npz cannot be read as boxes" in capsys.readouterr().err
