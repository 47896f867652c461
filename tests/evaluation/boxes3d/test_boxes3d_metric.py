"""The metric of mmengine: figures as of the evaluation, whatever the batches; what is refused."""

import pytest
import torch
from mmengine.registry import DefaultScope

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.boxes3d import evaluate_classes, read_scene_boxes
from dense3d.registry import METRICS
from dense3d.structures.point_sample import PointDataSample


def _metric(classes=("bed", "chair", "table", "lamp", "sofa"), **settings):
    with DefaultScope.overwrite_default_scope("dense3d"):
        metric = METRICS.build(dict(type="Boxes3DMetric", **settings))
    metric.dataset_meta = {"classes": classes} if classes else {}
    return metric


def _samples(truth, found):
    samples = []
    for index, name in enumerate(truth.scenes):
        sample, own, theirs = PointDataSample(), truth.scene == index, found.scene == index
        sample.set_metainfo({"sample_id": name})
        sample.gt_boxes = torch.tensor(truth.boxes[own])
        sample.gt_box_labels = torch.tensor(truth.labels[own])
        sample.pred_boxes = torch.tensor(found.boxes[theirs])
        sample.pred_box_labels = torch.tensor(found.labels[theirs])
        sample.pred_box_scores = torch.tensor(found.scores[theirs])
        samples.append(sample.to_dict())
    return samples


def test_figures_are_those_of_the_evaluation(one_pair, tmp_path):
    metric = _metric(result_file=str(tmp_path / "r.json"), boxes_file=str(tmp_path / "b.npz"))
    samples = _samples(*one_pair)
    metric.process(None, samples[:4])
    metric.process(None, samples[4:])
    figures = metric.evaluate(len(samples))
    expected = evaluate_classes(*one_pair, (0.25, 0.5))
    assert figures["boxes3d/AP25"] == pytest.approx(expected.average_precision[0].mean())
    assert figures["boxes3d/AR50"] == pytest.approx(expected.recall[1].mean())
    assert figures["boxes3d/AP25_bed"] == pytest.approx(expected.average_precision[0, 0])
    assert (tmp_path / "r.json").is_file()
    back = [read_scene_boxes(tmp_path / name) for name in ("b.truth.npz", "b.npz")]
    again = evaluate_classes(*back, (0.25, 0.5))
    torch.testing.assert_close(
        torch.from_numpy(again.average_precision),
        torch.from_numpy(expected.average_precision),
        atol=1e-3,
        rtol=0,
    )


def test_what_is_missing_is_named(one_pair):
    samples = _samples(*one_pair)
    del samples[0]["pred_boxes"]
    with pytest.raises(DataError, match=r"scene0 has no pred_boxes"):
        _metric().process(None, samples)
    metric = _metric(classes=None)
    metric.process(None, samples[1:])
    with pytest.raises(ConfigError, match=r"a data set that names its classes"):
        metric.evaluate(5)
    metric = _metric()
    metric.process(None, [samples[1], samples[1]])
    with pytest.raises(DataError, match=r"scene 'scene1' was predicted twice"):
        metric.evaluate(2)
    for settings, reason in (
        ({"result_file": "a.txt"}, r"\.json or \.csv"),
        ({"boxes_file": "a.txt"}, r"\.npz"),
    ):
        with pytest.raises(ConfigError, match=reason):
            _metric(**settings)
