"""NeRF-MAE on synthetic rooms: training, resuming, what starts from it, results."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import dense3d
from dense3d.apis import infer_grids, train
from dense3d.cli.dispatch import main
from dense3d.config import load_config
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.engine import load_checkpoint
from dense3d.errors import DataError
from dense3d.structures import RadianceGrid

ARCH = dict(embed_dim=12, depths=(1, 1), num_heads=(2, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "grids"
    return ensure_dataset(root, layouts=("grids",), train=4, val=2, size=32, finer=48, seed=0)


def config_of(repository: Path, name: str, folder: Path, iters: int = 4):
    """A shipped config on the small data set, with a smaller network."""
    path = repository / f"configs/synthetic/{name}_swin3d-tiny_synthetic-grids.py"
    options = {f"{s}_dataloader.dataset.data_root": str(folder) for s in ("train", "val", "test")}
    options |= {
        "synthetic_data": None,
        "train_dataloader.batch_size": 2,
        "train_cfg.max_iters": iters,
        "train_cfg.val_interval": iters,
        "default_hooks.checkpoint.interval": 2,
        "model.data_preprocessor.resolution": 32,
    }
    cfg = load_config(path, options)
    cfg.model.encoder.arch = ARCH
    return cfg


@pytest.fixture(scope="module")
def run(folder, repository, tmp_path_factory):
    return train(config_of(repository, "nerf-mae", folder), work_dir=tmp_path_factory.mktemp("run"))


def test_a_resumed_run_ends_with_the_same_weights(run, repository, folder, tmp_path):
    assert run.metrics["grid/grids"] == 2 and np.isfinite(run.metrics["grid/psnr"])
    cfg = config_of(repository, "nerf-mae", folder)
    again = train(cfg, work_dir=tmp_path, resume=run.checkpoint.with_name("iter_2.pth"))
    first, second = (load_checkpoint(r.checkpoint)["state_dict"] for r in (run, again))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_segmenters_start_from_it(run, repository, folder, tmp_path):
    cfg = config_of(repository, "nerf-mae-semantics", folder, iters=2)
    cfg.model.pretrained = str(run.checkpoint)
    cfg.optim_wrapper.optimizer.lr = 0.0  # so that what it starts from stays to be seen
    found = train(cfg, work_dir=tmp_path)
    state, start = (load_checkpoint(r.checkpoint)["state_dict"] for r in (found, run))
    name = "encoder.stages.1.blocks.0.attn.qkv.weight"
    assert torch.equal(state[name], start[name])
    assert 0 <= found.metrics["voxel/mIoU"] <= 100
    result = dense3d.load(found.config, found.checkpoint)(next((folder / "features").glob("val*.npz")))
    assert result.voxel_labels.shape == result.grid.resolution and result.plot().ndim == 3


def test_finer_grids_are_learnt_with_augmentation(repository, folder, tmp_path):
    cfg = config_of(repository, "nerf-mae-sr", folder, iters=2)
    cfg.model.factor = 1.5
    for split in ("train", "val", "test"):
        cfg[f"{split}_dataloader"].dataset.finer = "features_48"
    assert any(step.type == "GridAugmentation" for step in cfg.train_dataloader.dataset.pipeline)
    found = train(cfg, work_dir=tmp_path)
    assert found.metrics["grid/grids"] == 2 and np.isfinite(found.metrics["grid/psnr"])
    result = dense3d.load(found.config, found.checkpoint)(next((folder / "features").glob("val*.npz")))
    assert result.predicted.shape[1:] == tuple(round(1.5 * side) for side in result.grid.resolution)


def test_reconstructions_are_drawn_and_written(run, folder, tmp_path, capsys):
    config = tmp_path / "run.py"
    run.config.dump(config)
    inputs = [str(config), str(run.checkpoint), str(folder / "features" / "val_0000.npz")]
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"nothing")
    assert main(["infer", *inputs, str(broken), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "a reconstruction of" in printed.out and "broken.npz" in printed.err
    (picture,) = (tmp_path / "out" / "pictures").glob("*.png")
    assert cv2.imread(str(picture)).shape[1] == 3 * 240 + 2 * 4  # input, masked, made
    (row,) = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert row["psnr"] == pytest.approx(-10 * np.log10(row["mse"]), abs=1e-3)
    made = RadianceGrid.load(next((tmp_path / "out" / "grids").glob("*.npz")))
    given = RadianceGrid.load(inputs[2])
    assert made.is_alpha and (made.bbox_max == given.bbox_max).all()
    with pytest.raises(DataError, match="names no radiance grid"):
        infer_grids(run.config, run.checkpoint, str(tmp_path / "none*.npz"), tmp_path / "again")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="names no radiance grid"):
        infer_grids(run.config, run.checkpoint, tmp_path / "empty", tmp_path / "again")
