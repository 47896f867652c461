"""Detection on the real samples: classes count from 0, boxes hold points, the truth fed back scores 1."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from dense3d.datasets.pointcloud.box_transforms import points_in_each
from dense3d.errors import ConfigError
from dense3d.evaluation.boxes3d import PROTOCOLS
from dense3d.registry import DATASETS, METRICS

SETS = {
    "scannet": (dict(type="ScanNet", task="detection"), 27, {"sofa", "garbagebin", "toilet"}),
    "sunrgbd": (dict(type="SunRgbdPoints"), 2, {"bed", "night_stand"}),
}


@pytest.mark.parametrize("name", SETS)
def test_real_samples(name, sample_data):
    cfg, count, some = SETS[name]
    steps = [dict(type="LoadPoints"), dict(type="PackPointInputs", features=("colors", "height"))]
    with DefaultScope.overwrite_default_scope("dense3d"):
        data = DATASETS.build(dict(**cfg, data_root=str(sample_data / name), pipeline=steps))
        metric = METRICS.build(dict(type="Boxes3DMetric", protocol=name))
    packed = data[0]
    sample, points = packed["data_samples"], packed["inputs"]["points"].numpy()
    classes = data.metainfo["classes"]
    assert tuple(classes) == PROTOCOLS[name].classes
    assert len(sample.gt_boxes) == count and some <= {classes[label] for label in sample.gt_box_labels}
    grown = sample.gt_boxes.numpy() + np.array([0, 0, 0, 0.04, 0.04, 0.04, 0])
    assert (points_in_each(points, grown) > 20).all()
    floor = np.median(packed["inputs"]["features"][:, 3][points[:, 2] < np.percentile(points[:, 2], 5)])
    assert abs(floor) < 0.2
    sample.pred_boxes, sample.pred_box_labels = sample.gt_boxes, sample.gt_box_labels
    sample.pred_box_scores = torch.linspace(1, 0.5, count)
    metric.dataset_meta = data.metainfo
    metric.process(None, [sample.to_dict()])
    figures = metric.evaluate(1)
    assert {figures[f"boxes3d/{key}"] for key in ("AP25", "AP50", "AR25", "AR50")} == {1.0}


def test_segmentation_keeps_all_classes(sample_data):
    with DefaultScope.overwrite_default_scope("dense3d"):
        cfg = dict(type="ScanNet", data_root=str(sample_data / "scannet"), pipeline=[dict(type="LoadPoints")])
        data = {task: DATASETS.build(dict(**cfg, task=task)) for task in ("segmentation", "detection")}
    labels = {task: one[0]["gt_box_labels"] for task, one in data.items()}
    np.testing.assert_array_equal(labels["segmentation"] - 2, labels["detection"])
    assert len(data["segmentation"].metainfo["classes"]) == 20
    assert len(data["detection"].metainfo["classes"]) == 18


def test_scans_of_infos_are_aligned_or_refused(sample_data):
    """Their boxes are those of aligned scans, whatever is asked for."""
    cfg = dict(type="ScanNet", data_root=str(sample_data / "scannet"), align=False)
    with (
        DefaultScope.overwrite_default_scope("dense3d"),
        pytest.raises(ConfigError, match="leave align=True"),
    ):
        DATASETS.build(cfg)
