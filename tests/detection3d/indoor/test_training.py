"""Detectors on synthetic rooms: training and resuming, predictions on scans, what is said of odd ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import dense3d
from dense3d.apis import train
from dense3d.apis.room_checks import room_notes
from dense3d.cli.dispatch import main
from dense3d.config import load_config
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.engine import load_checkpoint
from dense3d.errors import DataError
from dense3d.results.cloud_boxes import CloudBoxes
from dense3d.structures import PointCloud
from dense3d.structures.cloud_files import read_cloud, write_cloud

BACKBONE = dict(
    type="PointNet2",
    in_channels=4,
    num_points=(48, 24),
    radii=(0.5, 1.0),
    num_neighbours=(4, 4),
    channels=((8,), (8,)),
    propagation=((8,),),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "rooms"
    return ensure_dataset(root, layouts=("rooms",), train=4, val=2, points=1000, seed=0)


def config_of(repository: Path, name: str, folder: Path):
    """A shipped config on the small data set, with a smaller network."""
    path = repository / f"configs/synthetic/{name}_pointnet2-tiny_synthetic-rooms.py"
    options = {f"{s}_dataloader.dataset.data_root": str(folder) for s in ("train", "val", "test")}
    options |= {f"{s}_dataloader.dataset.pipeline.1.count": 200 for s in ("train", "val", "test")}
    options |= {
        "synthetic_data": None,
        "train_dataloader.batch_size": 2,
        "train_cfg.max_iters": 4,
        "train_cfg.val_interval": 4,
        "default_hooks.checkpoint.interval": 2,
    }
    cfg = load_config(path, options)
    cfg.model.backbone = BACKBONE
    if name == "votenet":
        cfg.model.proposals = dict(num_proposals=8, channels=(8,))
    else:
        cfg.model.num_queries = 8
        cfg.model.encoder = dict(num_layers=1, num_heads=2, feedforward_dim=8)
        cfg.model.decoder = dict(dim=8, num_layers=2, num_heads=2, feedforward_dim=8)
    cfg.model.decoding = dict(score_threshold=0.0, min_points=0)
    return cfg


@pytest.fixture(scope="module", params=["votenet", "threedetr"])
def run(request, repository, folder, tmp_path_factory):
    cfg = config_of(repository, request.param, folder)
    return request.param, train(cfg, work_dir=tmp_path_factory.mktemp("run"))


def test_training_reports_precision_on_held_out_rooms(run):
    assert 0 <= run[1].metrics["boxes3d/AP25"] <= 1


def test_a_resumed_run_ends_with_the_same_weights(run, repository, folder, tmp_path):
    name, found = run
    start = found.checkpoint.with_name("iter_2.pth")
    again = train(config_of(repository, name, folder), work_dir=tmp_path, resume=start)
    first, second = (load_checkpoint(r.checkpoint)["state_dict"] for r in (found, again))
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_a_scan_becomes_boxes(run, tmp_path, monkeypatch, capsys):
    _, found = run
    random = np.random.default_rng(0)
    points = random.random((400, 3)).astype(np.float32) * [4, 3, 2.5]
    normals = np.tile(np.float32([0, 0, 1]), (400, 1))
    write_cloud(PointCloud(points, normals=normals), tmp_path / "scan.ply")
    write_cloud(PointCloud(points), tmp_path / "bare.ply")
    found.config.dump(tmp_path / "config.py")
    words = [tmp_path / "config.py", found.checkpoint, tmp_path / "scan.ply", tmp_path / "bare.ply"]
    words += ["--out", tmp_path / "out", "--score-threshold", "0"]
    monkeypatch.setattr("sys.argv", ["dense3d", "infer", *map(str, words)])
    assert main() == 1  # the one without normals is left out
    assert "bare.ply has no normals" in capsys.readouterr().err
    ((row,),) = [json.loads((tmp_path / "out" / "predictions.json").read_text())]
    assert 1 <= len(row["boxes"]) <= 8
    scores = [box["score"] for box in row["boxes"]]
    assert scores == sorted(scores, reverse=True)
    assert set(row["boxes"][0]) == {"class", "score", "center", "size", "yaw"}
    wired = read_cloud(tmp_path / "out" / "clouds" / "scan.ply")
    assert len(wired) > 400 and np.allclose(wired.points[:400], points, atol=1e-5)
    assert (tmp_path / "out" / "pictures" / "scan.png").stat().st_size > 0


def test_a_scan_has_the_same_boxes_every_time(run):
    """Points are drawn at random, and by the same numbers for each scan."""
    predictor = dense3d.load(run[1].config, run[1].checkpoint)
    predictor.score_threshold = 0.0
    cloud = PointCloud(np.random.default_rng(0).random((900, 3)) * 3, normals=np.ones((900, 3)))
    np.random.seed(5)
    one, drawn, two = predictor(cloud), np.random.random(), predictor(cloud)
    assert len(one.boxes) and np.array_equal(one.boxes.boxes, two.boxes.boxes)
    np.random.seed(5)
    assert np.random.random() == drawn  # the caller's own numbers are left alone


def test_a_predictor_leaves_out_what_scores_less(run):
    _, found = run
    predictor = dense3d.load(found.config, found.checkpoint)
    predictor.score_threshold = 2.0
    points = np.random.default_rng(0).random((300, 3)) * 3
    cloud = PointCloud(points, normals=np.ones((300, 3)))
    result = predictor(cloud)
    assert len(result.boxes) == 0 and str(result) == "no box" and result.to_dict()["boxes"] == []
    assert result.plot().ndim == 3 and len(result.coloured()) == 300
    with pytest.raises(DataError, match="no point with finite coordinates"):
        predictor(np.full((9, 3), np.nan))


def test_sizes_of_results_are_positive():
    """A side that VoteNet's regression turned round bounds the same place."""
    box = np.array([[1, 2, 3, -2, 4, -6, 0.3]])
    found = CloudBoxes.best(box, np.array([0]), np.array([0.9]), 0.3)
    assert found.rows(["chair"])[0]["size"] == [2, 4, 6]
    assert box[0, 3] == -2


def test_wires_run_along_the_edges():
    boxes = CloudBoxes(np.array([[1, 2, 3, 2, 4, 6, 0.3]], np.float32), np.array([0]), np.array([0.9]))
    points, owner = boxes.wires()
    assert not owner.any()
    local = points - [1, 2, 3]
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    at_border = np.isclose(np.abs(local @ turn), [1, 2, 3], atol=1e-4)
    assert (at_border.sum(axis=1) >= 2).all()


def test_odd_scans_are_said():
    room = np.array([[0, 0, 0], [5, 4, 2.5]])
    assert room_notes(PointCloud(room), "a") == []
    assert "multiply its coordinates by 0.001" in room_notes(PointCloud(1000 * room), "a")[0]
    assert "which is no room" in room_notes(PointCloud(0.01 * room), "a")[0]
    assert "--up-axis y" in room_notes(PointCloud(room[:, [0, 2, 1]]), "a")[0]
