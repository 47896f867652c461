"""Average precision beside the walk through detections, an overlap of another library, and known cases."""

import numpy as np
import pytest
import shapely
from shapely.affinity import rotate, translate

from dense3d.evaluation.boxes3d import SceneBoxes, average_precision, evaluate_classes
from dense3d.evaluation.boxes3d.reference import evaluate_reference

BOX = [0.0, 0, 0, 1, 1, 1, 0]


def _shapely_iou(box, other):
    areas = []
    for x, y, _, length, width, _, yaw in (box, other):
        plan = shapely.box(-length / 2, -width / 2, length / 2, width / 2)
        areas.append(translate(rotate(plan, yaw, origin=(0, 0), use_radians=True), x, y))
    top = min(box[2] + box[5] / 2, other[2] + other[5] / 2)
    bottom = max(box[2] - box[5] / 2, other[2] - other[5] / 2)
    common = areas[0].intersection(areas[1]).area * max(top - bottom, 0)
    return common / (box[3:6].prod() + other[3:6].prod() - common)


def test_equals_the_walk_with_overlaps_of_shapely(scenes):
    truth, found = scenes
    thresholds = (0.15, 0.25, 0.5)
    precision, recall = evaluate_reference(truth, found, thresholds, _shapely_iou)
    figures = evaluate_classes(truth, found, thresholds)
    np.testing.assert_allclose(figures.average_precision, precision, atol=1e-9)
    np.testing.assert_allclose(figures.recall, recall, atol=1e-9)
    assert 0.05 < precision[1, 0] < 0.95  # neither trivial end


def test_parts_of_pairs_give_the_same(one_pair, monkeypatch):
    whole = evaluate_classes(*one_pair, (0.25,))
    monkeypatch.setattr(average_precision, "PAIRS_AT_ONCE", 7)
    parts = evaluate_classes(*one_pair, (0.25,))
    np.testing.assert_array_equal(whole.average_precision, parts.average_precision)


def _figures(boxes, scores, truth=(BOX,), threshold=0.25):
    truth = SceneBoxes.of({"room": {"boxes": list(truth), "labels": [0] * len(truth)}}, ["chair"])
    entry = {"boxes": boxes, "labels": [0] * len(boxes), "scores": scores}
    figures = evaluate_classes(truth, SceneBoxes.of({"room": entry}, ["chair"]), (threshold,))
    return figures.average_precision[0, 0], figures.recall[0, 0]


def test_ground_truth_fed_back_scores_one(scenes):
    truth, _ = scenes
    again = SceneBoxes(
        truth.scenes, truth.classes, truth.scene, truth.boxes, truth.labels, np.ones(len(truth))
    )
    figures = evaluate_classes(truth, again, (0.25, 0.5, 0.99))
    occur = figures.ground_truths > 0
    np.testing.assert_array_equal(figures.average_precision[:, occur], 1)
    np.testing.assert_array_equal(figures.recall[:, occur], 1)
    assert np.isnan(figures.average_precision[:, ~occur]).all()


def test_a_second_detection_of_one_box_is_wrong():
    assert _figures([BOX, BOX], [0.9, 0.8]) == (1.0, 1.0)  # after the last recall nothing is lost
    assert _figures([BOX, BOX], [0.9, 0.8], [BOX, [5.0, 0, 0, 1, 1, 1, 0]]) == (0.5, 0.5)


def test_a_detection_has_no_second_choice():
    """The second detection overlaps both, the taken one more: it is wrong."""
    beside = [0.5, 0, 0, 1, 1, 1, 0]
    assert _figures([BOX, [0.2, 0, 0, 1, 1, 1, 0]], [0.9, 0.8], [BOX, beside]) == (0.5, 0.5)


def test_an_overlap_of_the_threshold_is_none():
    half = [0.0, 0, 0, 1, 1, 0.5, 0]  # IoU 1/2
    assert _figures([half], [0.9], threshold=0.5) == (0.0, 0.0)
    assert _figures([half], [0.9], threshold=0.499) == (1.0, 1.0)


def test_precision_before_a_hit_does_not_count():
    """Wrong, right: precision 1/2 at recall 1."""
    assert _figures([[9.0, 0, 0, 1, 1, 1, 0], BOX], [0.9, 0.8]) == (0.5, 1.0)


def test_scenes_are_apart():
    truth = SceneBoxes.of({"a": {"boxes": [BOX], "labels": [0]}, "b": {"boxes": [], "labels": []}}, ["chair"])
    entry = {"boxes": [BOX], "labels": [0], "scores": [1.0]}
    figures = evaluate_classes(truth, SceneBoxes.of({"a": _NONE, "b": entry}, ["chair"]), (0.25,))
    assert figures.average_precision[0, 0] == 0


_NONE = {"boxes": [], "labels": [], "scores": []}


@pytest.mark.parametrize("empty", ["truth", "found", "both"])
def test_nothing_is_no_crash(empty):
    entry = {"boxes": [BOX], "labels": [0], "scores": [1.0]}
    truth = SceneBoxes.of({"a": _NONE if empty in ("truth", "both") else entry}, ["chair"])
    found = SceneBoxes.of({"a": _NONE if empty in ("found", "both") else entry}, ["chair"])
    figures = evaluate_classes(truth, found, (0.25,))
    assert figures.average_precision[0, 0] == 0 or empty == "both"
    assert np.isnan(figures.average_precision[0, 0]) == (empty == "both")
