"""The metric: the same figures as the evaluation, and no frame lost or counted twice."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.logging import MMLogger

from dense3d.benchmarks.kitti_eval import make_frames, write_frames
from dense3d.datasets.kitti import frame_id, list_frames, read_objects, write_image_set
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.kitti import evaluate
from dense3d.evaluation.kitti import metric as metric_module
from dense3d.registry import METRICS

FRAMES = 6


@pytest.fixture
def data(tmp_path):
    labels, results = make_frames(FRAMES, detections=12)
    write_frames(tmp_path, labels, results)
    write_image_set(tmp_path / "val.txt", [frame_id(n) for n in range(FRAMES)])
    return tmp_path, labels, results


def build(root, **settings):
    return METRICS.build(dict(type="KittiMetric", label_folder=str(root / "label_2"), **settings))


def samples(results, numbers):
    return [{"frame": frame_id(n), "predictions": results[n]} for n in numbers]


@pytest.mark.parametrize("points", [11, 40])
def test_figures_in_any_order_and_written_results(data, points):
    root, labels, results = data
    metric = build(
        root, image_set=str(root / "val.txt"), points=points, result_folder=str(root / "out"), classes=["Car"]
    )
    metric.process(None, samples(results, [4, 0, 5]))
    metric.process(None, samples(results, [1, 3, 2]))
    figures = metric.evaluate(FRAMES)
    expected = evaluate(labels, results)
    average = expected.ap40 if points == 40 else expected.ap11
    assert figures[f"kitti/Car/3d_ap{points}_moderate_strict"] == pytest.approx(average[0, 3, 0, 1])
    assert figures[f"kitti/Car/bev_ap{points}_hard_loose"] == pytest.approx(average[1, 2, 0, 2])
    assert len(figures) == 4 * 3 * 2
    assert len(list_frames(root / "out")) == FRAMES


def test_results_of_the_last_validation_stay_and_older_runs_are_safe(data):
    root, _, results = data
    metric = build(root, result_folder=str(root / "out"))
    for shown in (3, 5):
        metric.process(None, samples(results, range(shown)))
        metric.evaluate(shown)
        assert len(list_frames(root / "out")) == shown
    with pytest.raises(DataError, match="out is not empty"):
        build(root, result_folder=str(root / "out"))


def test_missing_repeated_and_unlabelled_frames(data):
    root, _, results = data
    metric = build(root, image_set=str(root / "val.txt"))
    metric.process(None, samples(results, [0, 1, 2]))
    with pytest.raises(DataError, match=r"val.txt .*frame 000003 was not predicted \(3 missing"):
        metric.evaluate(3)
    metric = build(root)
    metric.process(None, samples(results, [0, 1, 0]))
    with pytest.raises(DataError, match="frame 000000 was predicted twice"):
        metric.evaluate(3)
    metric = build(root)
    metric.process(None, [{"frame": "000099", "predictions": results[0]}])
    with pytest.raises(DataError, match=r"000099.txt: the label file does not exist"):
        metric.evaluate(1)


@pytest.mark.parametrize(("column", "value"), [(8, np.nan), (7, -0.1), (9, 0.0), (14, np.inf)])
def test_detections_that_cannot_be_are_dropped_and_counted(data, monkeypatch, column, value):
    root, labels, results = data
    told = []
    monkeypatch.setattr(MMLogger.get_current_instance(), "warning", told.append)
    sound = results[1].select(np.arange(len(results[1])) != 2)
    results[1].values[2, column] = value
    metric = build(root, result_folder=str(root / "out"))
    metric.process(None, samples(results, range(FRAMES)))
    figures = metric.evaluate(FRAMES)
    expected = evaluate(labels, [results[0], sound, *results[2:]])
    assert figures["kitti/Car/3d_ap40_moderate_strict"] == pytest.approx(expected.ap40[0, 3, 0, 1])
    written = read_objects(root / "out" / f"{frame_id(1)}.txt", is_result=True)
    assert np.array_equal(written.values, sound.values)
    (sentence,) = told
    assert sentence.startswith(
        f"1 of {sum(map(len, results))} detections cannot be and are left out, first in"
    )
    assert "frame 000001" in sentence


def test_wrong_class(data):
    with pytest.raises(ConfigError, match="'Tram'"):
        build(data[0], classes=["Tram"])


def test_frames_are_compared_before_the_first_and_a_subset_is_measured_alone(data):
    root, labels, results = data
    subset = [1, 3, 4]
    metric = build(root, image_set=str(root / "val.txt"))
    metric.check_loader([{"frame": frame_id(n)} for n in subset], ("Car",))
    metric.process(None, samples(results, subset))
    alone = evaluate([labels[n] for n in subset], [results[n] for n in subset])
    assert metric.evaluate(3)["kitti/Car/3d_ap40_hard_strict"] == pytest.approx(alone.ap40[0, 3, 0, 2]) != 0
    metric.process(None, samples(results, subset[:2]))
    with pytest.raises(DataError, match=r"frame 000004 was not predicted \(1 missing"):
        metric.evaluate(2)
    with pytest.raises(DataError, match=r"val.txt: 1 of .* 2 images are not in it, first image '000009'"):
        metric.check_loader([{"frame": frame_id(n)} for n in (1, 9)], None)
    with pytest.raises(DataError, match="has image 000001 twice"):
        metric.check_loader([{"frame": frame_id(n)} for n in (1, 1)], None)


def test_classes_that_are_not_learned_are_said(data, monkeypatch):
    root, _, _ = data
    said = []
    monkeypatch.setattr(metric_module, "print_log", lambda sentence, *_: said.append(sentence))
    build(root, classes=["Car"]).check_loader([{"frame": frame_id(0)}], ("Car", "Van"))
    assert said == []
    build(root).check_loader([{"frame": frame_id(0)}], ("Car",))
    assert said[0].startswith("Pedestrian, Cyclist: evaluated, but no class of the data set")
