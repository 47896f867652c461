"""Augmentations of clouds: what moves and what stays, for points, normals, labels and boxes alike."""

import numpy as np
import pytest
import torch

from dense3d.errors import ConfigError, DataError
from dense3d.registry import TRANSFORMS
from dense3d.structures import Boxes3D


def _results(count=200, seed=0):
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(count, 3)).astype(np.float32)
    return dict(
        points=rng.normal(size=(count, 3)).astype(np.float32),
        colors=rng.random((count, 3)).astype(np.float32),
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        point_labels=np.arange(count),
        gt_label=3,
        path="a.npy",
    )


def _apply(results, kind, **settings):
    return TRANSFORMS.build(dict(type=kind, **settings)).transform(dict(results))


@pytest.fixture(autouse=True)
def _seeded():
    np.random.seed(0)


@pytest.mark.parametrize("method", ["random", "first", "farthest"])
@pytest.mark.parametrize("count", [1, 50, 200])
def test_samples_are_points_of_the_cloud_with_their_labels(method, count):
    before = _results()
    after = _apply(before, "SamplePoints", count=count, method=method)
    labels = after["point_labels"]
    assert len(set(labels.tolist())) == count
    for name in ("points", "colors", "normals"):
        np.testing.assert_array_equal(after[name], before[name][labels])


def test_a_small_cloud_is_filled_up_or_left():
    after = _apply(_results(5), "SamplePoints", count=8)
    assert after["point_labels"][:5].tolist() == [0, 1, 2, 3, 4] and len(after["points"]) == 8
    assert len(_apply(_results(5), "SamplePoints", count=8, repeat=False)["points"]) == 5
    assert len(_apply(_results(1), "SamplePoints", count=8, method="farthest")["points"]) == 8


def test_farthest_points_spread_wider_than_random_ones():
    def least_distance(points):
        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        return (distances + np.eye(len(points)) * 9).min()

    far = _apply(_results(), "SamplePoints", count=20, method="farthest")["points"]
    assert least_distance(far) > 2 * least_distance(_apply(_results(), "SamplePoints", count=20)["points"])


def test_normalised_clouds_fill_the_unit_sphere():
    before = _results()
    for center in ("mean", "middle"):
        after = _apply(before, "NormalizePoints", center=center)
        assert np.isclose(np.linalg.norm(after["points"], axis=1).max(), 1, atol=1e-6)
        back = after["points"] * after["scale"] + after["offset"]
        np.testing.assert_allclose(back, before["points"], atol=1e-5)
        np.testing.assert_allclose(after["normals"], before["normals"], atol=1e-6)
    one_place = _apply(dict(points=np.ones((4, 3), np.float32)), "NormalizePoints")
    assert (one_place["points"] == 0).all()


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_turns_keep_distances_the_axis_and_the_handedness(axis):
    before = _results()
    after = _apply(before, "RandomRotatePoints", axis=axis)
    column = "xyz".index(axis)
    np.testing.assert_allclose(after["points"][:, column], before["points"][:, column], atol=1e-6)
    np.testing.assert_allclose(
        after["points"] @ after["points"].T, before["points"] @ before["points"].T, atol=1e-4
    )
    triple = [np.linalg.det(r["points"][:3].astype(np.float64)) for r in (before, after)]
    np.testing.assert_allclose(*triple, rtol=1e-4)
    inner = [(r["points"] * r["normals"]).sum(axis=1) for r in (before, after)]
    np.testing.assert_allclose(*inner, atol=1e-5)
    assert not np.allclose(after["points"], before["points"])


def test_stretching_keeps_normals_at_right_angles():
    rng = np.random.default_rng(0)
    normal, along = np.array([0.6, 0, 0.8]), np.array([[0.8, 0, -0.6], [0, 1, 0]])
    plane = (rng.normal(size=(50, 2)) @ along).astype(np.float32)
    after = _apply(dict(points=plane, normals=np.tile(normal, (50, 1))), "RandomScalePoints")
    np.testing.assert_allclose((after["points"] * after["normals"]).sum(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(after["normals"], axis=1), 1, atol=1e-5)


def test_scales_and_shifts_stay_in_their_ranges():
    before = _results()
    factors = [
        _apply(before, "RandomScalePoints", low=0.5, high=2.0, per_axis=False)["points"] / before["points"]
        for _ in range(20)
    ]
    assert all(np.allclose(f, f[0, 0], rtol=1e-4) and 0.5 <= f[0, 0] <= 2 for f in factors)
    shifts = [
        _apply(before, "RandomTranslatePoints", distance=[0.1, 0, 0])["points"] - before["points"]
        for _ in range(9)
    ]
    assert all(np.abs(s[:, 0]).max() <= 0.1 + 1e-6 and np.allclose(s[:, 1:], 0) for s in shifts)


def test_jitter_is_small_and_dropping_keeps_points_of_the_cloud():
    before = _results()
    moved = _apply(before, "JitterPoints", deviation=0.1, limit=0.15)["points"] - before["points"]
    assert 0 < np.abs(moved).max() <= 0.15 + 1e-6
    dropped = _apply(before, "DropPoints", greatest_share=1.0)
    assert len(dropped["points"]) == 200
    np.testing.assert_array_equal(dropped["points"], before["points"][dropped["point_labels"]])
    fewer = _apply(before, "DropPoints", greatest_share=1.0, keep_count=False)
    assert 1 <= len(fewer["points"]) < 200
    assert len(_apply(_results(1), "DropPoints", greatest_share=1.0)["points"]) == 1
    shuffled = _apply(before, "ShufflePoints")["point_labels"]
    assert sorted(shuffled.tolist()) == list(range(200)) and (shuffled != np.arange(200)).any()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("RandomRotatePoints", dict(axis="z")),
        ("RandomFlipPoints", dict(axes="xy", probability=1.0)),
        ("RandomFlipPoints", dict(axes="x", probability=1.0)),
        ("RandomScalePoints", dict(per_axis=False)),
        ("RandomTranslatePoints", dict(distance=2.0)),
        ("NormalizePoints", dict()),
    ],
)
def test_boxes_go_with_their_points(kind, settings):
    boxes = np.array([[1, 2, 0.5, 2, 1, 1, 0.4], [-1, 0, 1, 0.5, 3, 2, -2.0]], np.float32)
    corners = Boxes3D(torch.from_numpy(boxes), "world").corners().numpy()  # (2, 8, 3)
    before = dict(points=corners.reshape(-1, 3), gt_boxes=boxes)
    after = _apply(before, kind, **settings)
    expected = after["points"].reshape(2, 8, 3)
    found = Boxes3D(torch.from_numpy(after["gt_boxes"]), "world").corners().numpy()
    for one, two in zip(found, expected):
        distances = np.linalg.norm(one[:, None] - two[None], axis=2)
        assert distances.min(axis=1).max() < 1e-5 and len(set(distances.argmin(axis=1))) == 8


def test_boxes_cannot_be_stretched_or_tilted():
    results = dict(points=np.eye(3, dtype=np.float32), gt_boxes=np.ones((1, 7), np.float32))
    for kind, settings in (("RandomScalePoints", {}), ("RandomRotatePoints", dict(axis="x"))):
        with pytest.raises(ConfigError, match="cannot be tilted or stretched"):
            _apply(results, kind, **settings)


def test_packing_makes_tensors_and_a_sample():
    packed = _apply(_results(), "PackPointInputs", features=["colors", "normals", "height"])
    inputs, sample = packed["inputs"], packed["data_samples"]
    assert inputs["points"].shape == (200, 3) and inputs["features"].shape == (200, 7)
    np.testing.assert_allclose(inputs["features"][:, :3], _results()["colors"] * 2 - 1, atol=1e-6)
    assert sample.gt_label == 3 and torch.equal(sample.gt_point_labels, torch.arange(200))
    assert sample.path == "a.npy" and sample.num_points == 200
    assert _apply(_results(), "PackPointInputs")["inputs"]["features"] is None


def test_colours_are_centred_and_scaled():
    """By default to -1..1; else as the official detectors have it for ScanNet, of bytes."""
    colors = np.array([[0, 51, 255], [255, 128, 3]])
    given = {"points": np.zeros((2, 3)), "colors": (colors / 255).astype(np.float32)}
    plain = _apply(dict(given), "PackPointInputs", features=["colors"])["inputs"]["features"]
    np.testing.assert_allclose(plain, colors / 127.5 - 1, atol=1e-6)
    mean = np.array([109.8, 97.2, 83.8])
    settings = dict(features=["colors"], color_mean=(mean / 255).tolist(), color_scale=256 / 255)
    official = _apply(dict(given), "PackPointInputs", **settings)["inputs"]["features"]
    np.testing.assert_allclose(official, (colors - mean) / 256, atol=1e-6)


def test_features_that_are_missing_are_named_or_filled():
    with pytest.raises(DataError, match=r"a\.npy has no intensity"):
        _apply(_results(), "PackPointInputs", features=["intensity"])
    packed = _apply(_results(), "PackPointInputs", features=["intensity"], fill=0.5)
    assert (packed["inputs"]["features"] == 0.5).all()


@pytest.mark.parametrize(
    "settings",
    [
        dict(type="SamplePoints", count=0),
        dict(type="SamplePoints", count=4, method="best"),
        dict(type="NormalizePoints", center="top"),
        dict(type="RandomScalePoints", low=2, high=1),
        dict(type="RandomRotatePoints", axis="w"),
        dict(type="RandomTranslatePoints", distance=-1),
        dict(type="RandomFlipPoints", axes="q"),
        dict(type="JitterPoints", deviation=-1),
        dict(type="DropPoints", greatest_share=2),
        dict(type="PackPointInputs", features=["smell"]),
        dict(type="PackPointInputs", color_mean=(0.5, 0.5)),
        dict(type="PackPointInputs", color_scale=0),
        dict(type="LoadPoints", max_points=0),
    ],
)
def test_settings_are_checked(settings):
    with pytest.raises(ConfigError):
        TRANSFORMS.build(settings)
