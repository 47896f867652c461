"""Point-MAE on synthetic shapes: training and resuming, what starts from it, predictions on clouds."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import dense3d
from dense3d.apis import browse, infer_clouds, train
from dense3d.apis.cloud_probes import probe_clouds
from dense3d.apis.few_shot import few_shot
from dense3d.cli.dispatch import main
from dense3d.config import load_config
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.engine import load_checkpoint
from dense3d.errors import ConfigError, DataError
from dense3d.structures import PointCloud
from dense3d.structures.cloud_files import read_cloud, write_cloud
from dense3d.visualization.cloud_viewer import CloudViewer

SMALL = dict(embed_dim=24, depth=1, num_heads=2, num_groups=8, group_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "shapes"
    return ensure_dataset(root, layouts=("shapes",), train=63, val=21, points=64, seed=0)


def config_of(repository: Path, name: str, folder: Path, iters: int = 4, inner: str = "", **more):
    """A shipped config on the small data set, with a smaller network."""
    path = repository / f"configs/point_mae/{name}_pt-tiny_synthetic-shapes.py"
    options = {f"{s}_dataloader.dataset{inner}.data_root": str(folder) for s in ("train", "val", "test")}
    options |= {f"{s}_dataloader.dataset{inner}.pipeline.1.count": 48 for s in ("train", "val", "test")}
    options |= {
        "synthetic_data": None,
        "train_dataloader.batch_size": 4,
        "train_cfg.max_iters": iters,
        "train_cfg.val_interval": iters,
        "default_hooks.checkpoint.interval": 2,
    }
    return load_config(path, options | more)


def pretraining(repository, folder, iters: int = 4):
    cfg = config_of(repository, "point-mae", folder, iters)
    cfg.model.encoder, cfg.model.decoder = SMALL, dict(depth=1, num_heads=2)
    return cfg


@pytest.fixture(scope="module")
def run(folder, repository, tmp_path_factory):
    return train(pretraining(repository, folder), work_dir=tmp_path_factory.mktemp("run"))


def started(cfg, run):
    backbone = {**SMALL, "init_cfg": dict(type="Pretrained", checkpoint=str(run.checkpoint))}
    cfg.model.backbone = backbone
    return cfg


def test_training_reports_the_error_of_held_out_clouds(run):
    assert run.checkpoint.name == "iter_4.pth" and 0 < run.metrics["reconstruction/error"] < 10


def test_a_resumed_run_ends_with_the_same_weights(run, repository, folder, tmp_path):
    cfg = pretraining(repository, folder)
    again = train(cfg, work_dir=tmp_path, resume=run.checkpoint.with_name("iter_2.pth"))
    first, second = (load_checkpoint(r.checkpoint)["state_dict"] for r in (run, again))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_classification_starts_from_it_and_names_clouds(run, repository, folder, tmp_path):
    cfg = started(config_of(repository, "point-mae-classify", folder, iters=2), run)
    found = train(cfg, work_dir=tmp_path / "run")
    assert 0 <= found.metrics["point/overall_accuracy"] <= 100
    predictor = dense3d.load(found.config, found.checkpoint)
    points = np.random.default_rng(0).random((70, 3))
    result = predictor(points)
    assert result.class_name in result.classes and len(result.classes) == 21
    assert result.scores.sum() == pytest.approx(1) and result.score == result.scores.max()
    assert not result.notes
    few = predictor(points[:30]).notes  # the network takes 48
    assert len(few) == 1 and "it has 30 points, and the network takes 48: 18 of them" in few[0]
    report = infer_clouds(found.config, found.checkpoint, [points], tmp_path / "out")
    assert [path.name for path in report.pictures] == ["cloud-0.png"] and not report.clouds
    with pytest.raises(ConfigError, match="asks for no category"):
        predictor(points, category="chair")
    with pytest.raises(DataError, match="no point with finite coordinates"):
        predictor(np.full((9, 3), np.nan))


def test_parts_are_predicted_for_all_points_of_a_cloud(run, repository, folder, tmp_path):
    cfg = started(config_of(repository, "point-mae-partseg", folder, iters=2), run)
    cfg.model.fetch_blocks, cfg.model.propagation_channels = (0,), (16, 12)
    found = train(cfg, work_dir=tmp_path / "run")
    assert 0 <= found.metrics["part/instance_miou"] <= 100
    predictor = dense3d.load(found.config, found.checkpoint)
    points = np.random.default_rng(0).random((300, 3)).astype(np.float32)
    result = predictor(PointCloud(points), category="mug")
    assert result.point_labels.shape == (300,) and {*result.point_names} <= {"mug body", "mug handle"}
    cloud = read_cloud(result.save(tmp_path / "parts.ply"))
    assert np.allclose(cloud.points, points) and cloud.colors is not None
    for name in (None, "mugg"):
        with pytest.raises(ConfigError, match="of a known category"):
            predictor(points, category=name)


def test_clouds_are_browsed_as_the_network_gets_them(repository, folder, tmp_path):
    found = browse(config_of(repository, "point-mae-partseg", folder), tmp_path, number=14)
    assert found.drawn == 14 and [path.name for path in found.sheets] == ["train_00.png", "train_01.png"]
    picture = cv2.imread(str(found.sheets[0]))
    colours = picture[(np.ptp(picture, axis=2) > 40)]
    assert len(np.unique(colours // 32, axis=0)) > 10  # parts have hues of their own


def test_show_opens_a_page_of_what_was_found(run, tmp_path, monkeypatch, capsys):
    pytest.importorskip("viser", minversion="1")
    opened, shown = [], []
    monkeypatch.setattr("webbrowser.open", opened.append)

    def look(viewer: CloudViewer) -> None:
        with urllib.request.urlopen(viewer.url, timeout=20) as page:
            assert page.status == 200
        shown.append((viewer._cloud.options, viewer._view.options, viewer._legend.content))
        viewer.stop()

    monkeypatch.setattr(CloudViewer, "wait", look)
    write_cloud(PointCloud(np.random.default_rng(0).random((48, 3))), tmp_path / "cloud.ply")
    run.config.dump(tmp_path / "config.py")
    words = [tmp_path / "config.py", run.checkpoint, tmp_path / "cloud.ply", "--out", tmp_path / "out"]
    monkeypatch.setattr("sys.argv", ["dense3d", "infer", *map(str, words), "--show"])
    assert main() == 0
    assert f"open {opened[0]}" in capsys.readouterr().out
    ((clouds, views, legend),) = shown
    assert clouds == (str(tmp_path / "cloud.ply"),) and views == ("input", "prediction")
    assert "reconstructed" in legend


def test_reconstructions_lie_in_the_cloud_s_own_frame(run, tmp_path):
    points = 7 * np.random.default_rng(0).random((48, 3)).astype(np.float32) + 30
    write_cloud(PointCloud(points), tmp_path / "cloud.ply")
    result = dense3d.load(run.config, run.checkpoint)(tmp_path / "cloud.ply")
    parts = result.reconstruction
    seen = np.concatenate([parts.visible, parts.hidden])
    assert np.abs(seen[:, None] - points).max(axis=2).min(axis=1).max() < 1e-3
    assert np.abs(parts.predicted.mean(axis=0) - points.mean(axis=0)).max() < 7
    assert result.save(tmp_path / "cloud.png").stat().st_size > 0


def test_a_network_without_its_weights_is_refused(run):
    with pytest.raises(ConfigError, match="PointMAE has weights: give a checkpoint"):
        dense3d.load(run.config, None)


def test_frozen_features_and_folds(run, repository, folder, tmp_path):
    cfg = started(config_of(repository, "point-mae-classify", folder), run)
    found = probe_clouds(cfg, run.checkpoint, ["linear-svm"])
    assert 0 <= found["linear-svm"].overall <= 100
    with pytest.raises(ConfigError, match="no protocol is named 'linear-svn'"):
        probe_clouds(cfg, run.checkpoint, ["linear-svn"])
    folds = config_of(repository, "point-mae-few-shot", folder, inner=".dataset")
    for split in ("train", "val", "test"):
        folds[f"{split}_dataloader"].dataset.update(shot=1, queries=2)
    started(folds, run)
    told = []
    runs = few_shot(
        folds, run.checkpoint, "linear-svm", 1, True, tmp_path, tell=lambda start, score: told.append(start)
    )
    assert [found.start for found in runs] == ["pre-trained", "random"]
    assert told == ["pre-trained", "random"] and (tmp_path / "few_shot.json").is_file()
    with pytest.raises(ConfigError, match="is of no few-shot task"):
        few_shot(cfg, run.checkpoint, "linear-svm", 1, work_dir=tmp_path)
