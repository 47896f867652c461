"""Views of scenes: common points, augmentations that keep what belongs together, batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from dense3d.datasets.pointcloud.scene_transforms import CropPoints, ElasticDistortion, JitterColors
from dense3d.datasets.pointcloud.scene_views import PackSceneViews
from dense3d.errors import ConfigError, DataError
from dense3d.pretraining.msm import SceneViewsPreprocessor
from dense3d.registry import MODELS  # noqa: F401 - registers what steps are built from

STEPS = [
    dict(type="dense3d.CropPoints", share=(0.5, 0.9)),
    dict(type="dense3d.RandomRotatePoints"),
    dict(type="dense3d.ShufflePoints"),
]


def cloud(count: int = 200, seed: int = 0) -> dict:
    random = np.random.default_rng(seed)
    points = random.random((count, 3)).astype(np.float32) * [4, 3, 2]
    colors = random.random((count, 3)).astype(np.float32)
    labels = random.integers(0, 3, count)
    return dict(points=points.astype(np.float32), colors=colors, point_labels=labels, sample_id="a")


def test_views_know_their_points():
    start = cloud()
    packed = PackSceneViews(STEPS, features=["colors"]).transform(dict(start))
    inputs = packed["inputs"]
    assert len(inputs["points"]) == 2 and "gt_point_labels" not in packed["data_samples"]
    for points, features, index in zip(*(inputs[key] for key in ("points", "features", "index"))):
        assert len(points) == len(features) == len(index) == len(index.unique()) < 200
        colours = torch.from_numpy(2 * start["colors"] - 1)
        torch.testing.assert_close(features, colours[index])
        torch.testing.assert_close(points[:, 2], torch.from_numpy(start["points"])[index, 2])
    assert not torch.equal(inputs["index"][0][:5], inputs["index"][1][:5])
    assert start["points"].shape == (200, 3)  # the cloud itself is as it was


def test_batches_hold_first_views_before_second_ones():
    pack = PackSceneViews(STEPS[:1])
    batch = SceneViewsPreprocessor()(pseudo_collate([pack.transform(cloud(seed=s)) for s in range(3)]))
    inputs = batch["inputs"]
    assert inputs["views"] == 2 and len(inputs["lengths"]) == 6 and inputs["features"] is None
    parts = inputs["points"].split(inputs["lengths"].tolist())
    indices = inputs["index"].split(inputs["lengths"].tolist())
    for place, (points, index) in enumerate(zip(parts, indices)):
        wanted = torch.from_numpy(cloud(seed=place % 3)["points"])[index]
        torch.testing.assert_close(points, wanted)


def test_single_clouds_pass_and_views_without_numbers_do_not():
    points = [torch.zeros(4, 3), torch.ones(3, 3)]
    batch = SceneViewsPreprocessor()({"inputs": {"points": points}})
    assert batch["inputs"]["views"] == 1 and batch["inputs"]["index"] is None
    with pytest.raises(DataError, match="use PackSceneViews"):
        SceneViewsPreprocessor()({"inputs": {"points": [points, points]}})


def test_crops_keep_the_nearest_points():
    np.random.seed(0)
    start = cloud()
    found = CropPoints(60).transform(dict(start))
    assert len(found["points"]) == len(found["colors"]) == 60
    inside = np.isin(start["colors"][:, 0], found["colors"][:, 0])
    reaches = [np.linalg.norm(start["points"] - middle, axis=1) for middle in found["points"]]
    assert any(reach[inside].max() < reach[~inside].min() for reach in reaches)  # a ball about one of them
    assert len(CropPoints(1000).transform(dict(start))["points"]) == 200


def test_distortion_is_smooth():
    np.random.seed(0)
    line = np.stack([np.linspace(0, 4, 400), np.zeros(400), np.zeros(400)], axis=1).astype(np.float32)
    moved = ElasticDistortion(probability=1).transform({"points": line.copy()})["points"] - line
    steps = np.linalg.norm(np.diff(moved, axis=0), axis=1)
    assert np.linalg.norm(moved, axis=1).max() > 0.01 and steps.max() < 0.05
    assert np.array_equal(ElasticDistortion(probability=0).transform({"points": line})["points"], line)


def test_colours_stay_colours_and_may_be_dropped():
    start = cloud()
    found = JitterColors().transform(dict(start))["colors"]
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert np.corrcoef(found[:, 0], start["colors"][:, 0])[0, 1] > 0.9
    grey = JitterColors(drop=1.0).transform(dict(start))["colors"]
    assert np.ptp(grey) == 0
    assert "colors" not in JitterColors().transform({"points": start["points"]})


@pytest.mark.parametrize(
    "make",
    [
        lambda: CropPoints(0),
        lambda: CropPoints(share=(0.0, 1.0)),
        lambda: ElasticDistortion(((0, 1),)),
        lambda: JitterColors(drop=2),
        lambda: PackSceneViews([], views=0),
    ],
)
def test_settings_that_make_no_sense_are_refused(make):
    with pytest.raises(ConfigError):
        make()
