"""Gaussian2Scene by its small configs on synthetic rooms: resuming, and scenes that ``infer`` is given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import dense3d
from dense3d.apis import train
from dense3d.cli.dispatch import main
from dense3d.config import load_config
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.engine import load_checkpoint
from dense3d.errors import DataError

SIZE = (48, 64)
ARCH = dict(embed_dim=32, depth=1, num_heads=2, position=None, class_token=False, final_norm=False)
SMALL = dict(
    dim=32,
    num_groups=16,
    group_size=8,
    image_encoder=dict(arch=ARCH),
    point_encoder=dict(depth=1),
    shared_encoder=dict(depth=1),
    decoder=dict(dim=24),
)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "rooms"
    recipe = dict(train=2, val=1, points=4000, seed=0, views=2, size=SIZE[::-1])
    return ensure_dataset(root, layouts=("rooms",), **recipe)


def config_of(repository: Path, rooms: Path, stage: int):
    """A shipped config on the small data set, with a smaller network."""
    name = f"gaussian2scene-stage{stage}_pointnet2-tiny_synthetic-rooms.py"
    options = {f"{s}_dataloader.dataset.data_root": str(rooms) for s in ("train", "val", "test")}
    options |= {f"{s}_dataloader.dataset.num_views": 2 for s in ("train", "val", "test")}
    options |= {"synthetic_data": None, "train_dataloader.batch_size": 1}
    options |= {"train_cfg.max_iters": 2, "train_cfg.val_interval": 2, "default_hooks.checkpoint.interval": 1}
    cfg = load_config(repository / "configs/gaussian2scene" / name, options)
    for split in ("train", "val", "test"):
        steps = cfg[f"{split}_dataloader"].dataset.pipeline
        steps[1].size, steps[2].count = SIZE, 256
    for name, value in (SMALL if stage == 1 else dict(init_cfg=None, autoencoder=SMALL)).items():
        cfg.model[name] = value  # update() would merge
    return cfg


@pytest.fixture(scope="module")
def run(rooms, repository, tmp_path_factory):
    return train(config_of(repository, rooms, 2), work_dir=tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("stage", [1, 2])
def test_a_resumed_run_ends_with_the_same_weights(stage, run, repository, rooms, tmp_path):
    cfg = config_of(repository, rooms, stage)
    whole = run if stage == 2 else train(cfg, work_dir=tmp_path / "whole")
    assert whole.metrics["reconstruction/error"] > 0
    start = whole.checkpoint.with_name("iter_1.pth")
    again = train(config_of(repository, rooms, stage), work_dir=tmp_path / "again", resume=start)
    before, first, second = (
        load_checkpoint(path)["state_dict"] for path in (start, whole.checkpoint, again.checkpoint)
    )
    assert any(not torch.equal(value, before[name]) for name, value in first.items())
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.fixture(scope="module")
def files(run, tmp_path_factory) -> list[str]:
    """The config and the checkpoint, as a command line has them."""
    path = tmp_path_factory.mktemp("config") / "run.py"
    run.config.dump(path)
    return [str(path), str(run.checkpoint)]


def test_posed_photographs_are_rendered_with_depth(files, rooms, tmp_path, capsys):
    scene = shutil.copytree(rooms / "val" / "room_0000" / "views", tmp_path / "scene")
    other = shutil.copytree(scene, tmp_path / "other")
    document = json.loads((other / "transforms.json").read_text())
    for frame in document["frames"]:
        frame.pop("depth_file_path")
    (other / "transforms.json").write_text(json.dumps(document))
    out = tmp_path / "out"
    assert main(["infer", *files, str(scene), str(other), "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert (
        printed.out.count("2 renderings") == 2 and "none of its 2 photographs has a depth map" in printed.err
    )
    rows = json.loads((out / "predictions.json").read_text())
    assert len(rows) == 2 and all(row["psnr"] > 0 and row["depth_error"] > 0 for row in rows)
    pictures = sorted((out / "pictures").glob("*.png"))
    assert cv2.imread(str(pictures[0])).shape[1] >= 4 * 320  # photograph, rendering, both depths
    with np.load(next((out / "renderings").glob("*.npz"))) as found:
        assert found["renderings"].shape == (2, 24, 32, 3) and found["depths"].shape == (2, 24, 32)
    assert len(list((out / "clouds").glob("*.ply"))) == 2


def test_results_are_typed_and_rooms_are_read_as_the_config_reads_them(run, rooms, tmp_path):
    predict = dense3d.load(run.config, run.checkpoint)
    (result,) = predict(rooms)  # the one of the split that the config tests on
    assert result.photographs.shape == result.painted.shape == (2, 24, 32, 3)
    assert np.isfinite(result.sensor_depths).any() and result.plot().ndim == 3
    with pytest.raises(DataError, match="nowhere is no scene"):
        predict(tmp_path / "nowhere")
    with pytest.raises(DataError, match=str(tmp_path)):
        predict(tmp_path)


def test_the_real_frame_of_sun_rgbd_goes_through(files, sample_data, tmp_path, capsys):
    folder = str(sample_data / "sunrgbd")
    assert main(["infer", *files, folder, "--out", str(tmp_path)]) == 0
    assert "1 renderings" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "predictions.json").read_text())
    assert row["photographs"] == 1 and row["psnr"] > 0


def test_real_frames_of_scannet_without_depth_are_refused(files, sample_data, tmp_path, capsys):
    folder = str(sample_data / "scannet_posed")
    assert main(["infer", *files, folder, "--out", str(tmp_path)]) == 1
    assert "none of its 4 photographs has a depth map" in capsys.readouterr().err
