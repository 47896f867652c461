"""NeRF-RPN by its small config on synthetic rooms: training, resuming, a pre-trained start, predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dense3d
from dense3d.apis import train
from dense3d.config import load_config
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.engine import load_checkpoint
from dense3d.radiance.swin3d import Swin3D

ARCH = dict(embed_dim=12, depths=(1, 1), num_heads=(2, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "grids"
    return ensure_dataset(root, layouts=("grids",), train=4, val=2, size=32, seed=0)


def config_of(repository: Path, folder: Path, iters: int = 4):
    """The shipped config on the small data set, with a smaller network."""
    path = repository / "configs/synthetic/nerf-rpn-scratch_swin3d-tiny_synthetic-grids.py"
    options = {f"{s}_dataloader.dataset.data_root": str(folder) for s in ("train", "val", "test")}
    options |= {
        "synthetic_data": None,
        "train_dataloader.dataset.share": 1.0,
        "train_cfg.max_iters": iters,
        "train_cfg.val_interval": iters,
        "default_hooks.checkpoint.interval": 2,
        "model.data_preprocessor.resolution": 32,
        "model.neck.out_channels": 32,
        "model.bbox_head.level_ranges": ((-1, 8), (8, 99)),
        "model.bbox_head.num_convs": 1,
    }
    cfg = load_config(path, options)
    cfg.model.backbone.arch = ARCH
    return cfg


@pytest.fixture(scope="module")
def run(folder, repository, tmp_path_factory):
    return train(config_of(repository, folder), work_dir=tmp_path_factory.mktemp("run"))


def test_a_run_is_evaluated_and_resumes_to_the_same_weights(run, repository, folder, tmp_path):
    for name in ("AP25", "AP50", "recall50_top300", "AR_top2500"):
        assert 0 <= run.metrics[f"boxes3d/{name}"] <= 1
    again = train(
        config_of(repository, folder), work_dir=tmp_path, resume=run.checkpoint.with_name("iter_2.pth")
    )
    first, second = (load_checkpoint(r.checkpoint)["state_dict"] for r in (run, again))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_the_encoder_of_a_file_is_where_training_starts(repository, folder, tmp_path):
    torch.manual_seed(3)
    encoder = Swin3D(ARCH, position_table=True)
    torch.save({"state_dict": encoder.state_dict()}, tmp_path / "encoder.pth")
    cfg = config_of(repository, folder, iters=2)
    cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "encoder.pth"))
    cfg.optim_wrapper.optimizer.lr = 0.0  # so that what it starts from stays to be seen
    state = load_checkpoint(train(cfg, work_dir=tmp_path / "run").checkpoint)["state_dict"]
    name = "stages.1.blocks.0.attn.qkv.weight"
    assert torch.equal(state[f"backbone.{name}"], encoder.state_dict()[name])


def test_predictions_are_boxes_with_a_picture(run, folder):
    predict = dense3d.load(run.config, run.checkpoint, score_threshold=0.0)
    result = predict(next((folder / "features").glob("val*.npz")))
    assert result.boxes.shape[1] == 7 and len(result.boxes) == len(result.scores) > 0
    assert (np.diff(result.scores) <= 0).all()
    assert result.plot().ndim == 3 and len(result.to_dict()["world_boxes"]) == len(result.boxes)
