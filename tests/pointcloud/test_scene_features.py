"""Features of points: the model, lazily sampled rows, their colours and files, and dense3d infer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dense3d.apis import build_model
from dense3d.cli.dispatch import main
from dense3d.engine import save_checkpoint
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.pointcloud import SceneFeatures
from dense3d.pointcloud.sparse import build_pyramid, sample_levels, voxelize_scene
from dense3d.structures import PointCloud, read_cloud, write_cloud
from dense3d.visualization.feature_colours import FeatureColours

SMALL = dict(
    in_channels=6,
    channels=(8, 16),
    convs=(1, 1),
    attentions=(0, 1),
    num_heads=(1, 2),
    windows=(32, 32),
    decoder_channels=(8, 16),
    decoder_convs=(1, 1),
    decoder_attentions=(0, 1),
    decoder_num_heads=(1, 2),
    decoder_windows=(32, 32),
)
CONFIG = """
default_scope = "dense3d"
model = dict(type="SceneFeatures", backbone=dict(type="HUNet", **{settings}), voxel_size=0.05)
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type="ScanNet",
        data_root="nowhere",
        pipeline=[
            dict(type="LoadPoints"),
            {more}
            dict(type="PackPointInputs", features=("colors", "normals"), fill=0.0),
        ],
    ),
)
"""


def cloud(count: int = 300, seed: int = 0) -> PointCloud:
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, 1, (count, 3)) * (1, 1, 0.2)
    return PointCloud(points, generator.random((count, 3)), generator.normal(size=(count, 3)))


def model(**options) -> SceneFeatures:
    torch.manual_seed(0)
    return SceneFeatures(SMALL, **{"voxel_size": 0.05, **options}).eval()


def inputs(*clouds: PointCloud) -> dict:
    """As the preprocessor gives them."""
    rows = [torch.from_numpy(np.hstack([c.points, 2 * c.colors - 1, c.normals])) for c in clouds]
    joined = torch.cat(rows)
    return dict(points=joined[:, :3], features=joined[:, 3:], lengths=torch.tensor([len(c) for c in clouds]))


@torch.no_grad()
def test_features_are_those_of_the_parts():
    network, given = model(mapping="consistent", mode="trilinear"), cloud()
    scene = voxelize_scene(given, 0.05)
    pyramid = build_pyramid(scene.coords, depth=2)
    maps = network.backbone(pyramid, scene.features)
    expected = sample_levels(pyramid, maps, scene.sample_coords, mapping="consistent")
    found = network(inputs(given))
    torch.testing.assert_close(found, expected)
    assert found.shape == (300, 24)


@torch.no_grad()
def test_a_batch_is_its_clouds_and_rows_are_those_of_all():
    network, clouds = model(), [cloud(seed=1), cloud(70, seed=2)]
    together = network(inputs(*clouds))
    samples = network(inputs(*clouds), mode="predict")
    rows = [sample.pred_point_features.rows() for sample in samples]
    torch.testing.assert_close(torch.cat(rows), together)
    alone = torch.cat([network(inputs(each)) for each in clouds])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    some = np.array([5, 5, 0])
    torch.testing.assert_close(samples[1].pred_point_features.rows(some), rows[1][some])
    torch.testing.assert_close(samples[1].pred_point_features.select(some).rows(), rows[1][some])


def test_there_is_nothing_to_train_and_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="train with MaskedSceneModeling or SceneSegmenter"):
        model()(inputs(cloud()), mode="loss")
    for options in (dict(mode="cubic"), dict(mapping="half"), dict(voxel_size=0)):
        with pytest.raises(ConfigError, match=r"SceneFeatures\(voxel_size="):
            model(**options)
    with pytest.raises(DataError, match="have features"):
        model()(dict(points=torch.rand(1, 9, 3), features=torch.rand(1, 9, 3)))


@torch.no_grad()
def test_some_levels_are_sampled():
    """As the released code's used_levels: 8 channels of the finest level, 16 of the next."""
    given = inputs(cloud())
    whole = model()(given)
    torch.testing.assert_close(model(levels=(1,))(given), whole[:, 8:])
    torch.testing.assert_close(model(levels=(1, 0))(given), torch.cat([whole[:, 8:], whole[:, :8]], dim=1))
    for wrong in ((), (2,), (0, 0)):
        with pytest.raises(ConfigError, match="name some of 0 to 1, each once"):
            model(levels=wrong)


def test_coordinates_alone():
    torch.manual_seed(0)
    network = SceneFeatures({**SMALL, "in_channels": 0}, voxel_size=0.05).eval()
    assert network(dict(points=torch.rand(1, 40, 3), features=None)).isfinite().all()


@pytest.mark.parametrize("kind", ["own", "pre-training", "segmenter", "bare"])
def test_the_network_is_taken_from_other_checkpoints(tmp_path, kind):
    weights = model().backbone.state_dict()
    prefix = {"own": "backbone.", "segmenter": "backbone.", "pre-training": "student.", "bare": ""}[kind]
    state = {f"{prefix}{name}": value for name, value in weights.items()}
    if kind == "pre-training":
        state |= {f"teacher.{name}": value + 1 for name, value in weights.items()}
        state["predictors.0.bias"] = torch.ones(1)
    if kind == "segmenter":
        state["classify.bias"] = torch.ones(5)
    save_checkpoint({"state_dict": state}, tmp_path / "file.pth")
    found = build_model(dict(type="SceneFeatures", backbone=SMALL), tmp_path / "file.pth")
    assert all(torch.equal(value, weights[name]) for name, value in found.backbone.state_dict().items())
    save_checkpoint({"state_dict": {"fc.weight": torch.ones(1)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth"):
        build_model(dict(type="SceneFeatures", backbone=SMALL), tmp_path / "other.pth")


def test_files_of_features_are_of_half_size_unless_too_large(tmp_path):
    with torch.no_grad():
        (sample,) = model()(inputs(cloud()), mode="predict")
    features = sample.pred_point_features
    found = np.load(features.save(tmp_path / "half.npy"))
    assert found.dtype == np.float16 and found.shape == (300, 24)
    np.testing.assert_allclose(found, features.rows(), rtol=1e-3, atol=1e-3)
    features.maps[0].mul_(1e6)
    found = np.load(features.save(tmp_path / "full.npy"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, features.rows())


def test_colours_are_the_components_of_most_variance():
    torch.manual_seed(1)
    axes = torch.linalg.qr(torch.randn(6, 6))[0]
    features = torch.randn(500, 6) * torch.tensor([9.0, 4.0, 2.0, 0.1, 0.1, 0.1]) @ axes.T
    colours = FeatureColours.of(features)
    overlap = (colours.directions.T @ axes).abs()[:, :3]
    torch.testing.assert_close(overlap, torch.eye(3), atol=0.15, rtol=0)
    found = colours(features)
    assert found.min() == 0 and found.max() == 1
    projected = features @ colours.directions
    distance = (projected - projected.median(dim=0).values).abs()
    inliers = distance < 2 * distance.median(dim=0).values
    assert ((found > 0) & (found < 1)).sum() == inliers.sum() - 6  # the ends of the range are inliers
    outlier = torch.cat([features, 1e4 * features[:1]])
    assert FeatureColours.of(outlier)(features).std(dim=0).min() > 0.05
    assert torch.equal(colours(features), FeatureColours.of(features)(features))


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (4, 1), (6, 2)])
def test_few_points_or_channels_have_colours(shape):
    features = torch.arange(float(np.prod(shape))).view(shape)
    found = FeatureColours.of(features)(features)
    assert found.shape == (shape[0], 3) and found.isfinite().all()
    same = torch.ones(7, 5)
    assert FeatureColours.of(same)(same).isfinite().all()


def infer(folder: Path, files: list[Path], more: str = "") -> int:
    config, weights = folder / "features.py", folder / "weights.pth"
    config.write_text(CONFIG.format(settings=SMALL, more=more))
    save_checkpoint({"state_dict": model().state_dict()}, weights)
    return main(["infer", str(config), str(weights), *map(str, files), "--out", str(folder / "out")])


def test_infer_writes_features_colours_and_a_picture_of_all_points(tmp_path, capsys):
    whole, bare = cloud(), PointCloud(cloud(50, 3).points)
    write_cloud(whole, tmp_path / "room.ply")
    write_cloud(bare, tmp_path / "bare.ply")
    assert infer(tmp_path, [tmp_path / "room.ply", tmp_path / "bare.ply"]) == 0
    printed = capsys.readouterr().out
    assert "24 features a point" in printed and f"features in {tmp_path / 'out' / 'features'}" in printed
    assert "bare.ply has no colors and no normals: 0 stands for them" in printed
    assert "room.ply has no" not in printed
    with torch.no_grad():
        expected = model()(inputs(read_cloud(tmp_path / "room.ply")))
    found = np.load(tmp_path / "out" / "features" / "room.npy")
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3)
    coloured = read_cloud(tmp_path / "out" / "clouds" / "room.ply")
    np.testing.assert_allclose(coloured.points, whole.points, atol=1e-6)
    np.testing.assert_allclose(coloured.colors, FeatureColours.of(expected)(expected), atol=0.01)
    assert (tmp_path / "out" / "pictures" / "bare.png").stat().st_size > 1000
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [(row["points"], row["features"]) for row in rows] == [(300, 24), (50, 24)]


def test_scans_in_other_units_are_said(tmp_path, capsys):
    """Voxels of 5 cm of a scan in millimetres hold a point each: features without a meaning."""
    given = cloud()
    write_cloud(PointCloud(1000 * given.points, given.colors, given.normals), tmp_path / "mm.ply")
    assert infer(tmp_path, [tmp_path / "mm.ply"]) == 0
    assert "if these are millimetres, multiply its coordinates by 0.001" in capsys.readouterr().out


def test_points_that_the_network_was_not_given_have_the_features_of_the_nearest(tmp_path):
    write_cloud(cloud(), tmp_path / "room.ply")
    assert (
        infer(tmp_path, [tmp_path / "room.ply"], 'dict(type="SamplePoints", count=60, method="first"),') == 0
    )
    found = np.load(tmp_path / "out" / "features" / "room.npy").astype(np.float32)
    points = cloud().points
    nearest = np.linalg.norm(points[:, None] - points[None, :60], axis=2).argmin(axis=1)
    assert found.shape == (300, 24)
    np.testing.assert_array_equal(found, found[:60][nearest])
