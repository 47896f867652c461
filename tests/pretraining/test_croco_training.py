"""CroCo on a folder of pairs, from the config to a network that starts from it; published settings."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from dense3d.apis import build_model, train
from dense3d.backbones import CrocoNetwork
from dense3d.config import load_config
from dense3d.datasets.cross_view import write_pairs
from dense3d.engine import load_checkpoint
from dense3d.registry import DATASETS
from dense3d.results import ModelInfo, Result
from dense3d.structures.stereo_sample import StereoSample

OPTIONS = {
    "synthetic_data": None,
    "train_dataloader.batch_size": 2,
    "val_dataloader.batch_size": 2,
    "train_cfg.max_iters": 2,
    "train_cfg.val_interval": 2,
    "default_hooks.checkpoint.interval": 2,
    "train_pipeline.1.size": 32,
    "train_pipeline.1.window": 40,
    "test_pipeline.1.size": 32,
    "test_pipeline.1.window": 40,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for side in ("left", "right"):
            (folder / split / side).mkdir(parents=True)
            for name in ("000000.png", "000001.png", "000002.png"):
                picture = random.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                cv2.imwrite(str(folder / split / side / name), picture)
    return folder


@pytest.fixture(scope="module")
def run(folder, repository, tmp_path_factory):
    roots = {f"{s}_dataloader.dataset.data_root": str(folder) for s in ("train", "val", "test")}
    path = repository / "configs/croco/croco-v2_vit-tiny_synthetic-stereo.py"
    return train(load_config(path, OPTIONS | roots), work_dir=tmp_path_factory.mktemp("run"))


def test_training_reports_the_error_of_held_out_pairs(run):
    assert run.checkpoint.name == "iter_2.pth"
    assert 0.5 < run.metrics["reconstruction/error"] < 4  # normalised noise has variance 1


def test_stereo_networks_start_from_it(run, repository):
    cfg = load_config(repository / "configs/croco/croco-v2_vit-tiny_synthetic-stereo.py")
    network = CrocoNetwork(
        **cfg.model.network, init_cfg=dict(type="Pretrained", checkpoint=str(run.checkpoint))
    )
    network.init_weights()
    weights = load_checkpoint(run.checkpoint)["state_dict"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[f"network.{name}"]), name


def test_reconstructions_are_drawn_beside_the_other_view(repository):
    cfg = load_config(repository / "configs/croco/croco-v2_vit-tiny_synthetic-stereo.py")
    model = build_model(cfg.model).eval()
    random = np.random.default_rng(0)
    views = {
        side: torch.from_numpy(random.integers(0, 256, (3, 64, 96), dtype=np.uint8))
        for side in ("left", "right")
    }
    sample = StereoSample(metainfo=dict(img_shape=(64, 96), ori_shape=(64, 96)))
    batch = {"inputs": {side: [view] for side, view in views.items()}, "data_samples": [sample]}
    with torch.no_grad():
        (sample,) = model.test_step(batch)
    result = Result.of(
        sample, ModelInfo(preprocessor=model.data_preprocessor), "pair", image=np.zeros((64, 96, 3), np.uint8)
    )
    assert result.fields == ("original", "masked", "reconstruction", "reference")
    for field, side in (("original", "left"), ("reference", "right")):
        assert np.array_equal(getattr(result, field), views[side].permute(1, 2, 0).numpy())
    hidden = (result.masked == 128).all(axis=2)
    assert hidden.mean() == pytest.approx(21 / 24, abs=1e-3)  # int(0.9 * 24) patches
    assert np.array_equal(result.reconstruction[~hidden], result.original[~hidden])
    assert result.plot().shape[1] == 4 * 320 + 3 * 4


# encoder and decoder; millions of parameters of the official models, and images a step
PUBLISHED = {
    "croco_vitb-small_4xb64-400e_habitat": ((768, 12, 12, 512, 8, 16), 120, 256, (400, 40, 800)),
    "croco-v2_vitb-small_4xb64-125e_cross-view": ((768, 12, 12, 512, 8, 16), 120, 256, (125, 12, 250)),
    "croco-v2_vitb-base_4xb64-125e_cross-view": ((768, 12, 12, 768, 12, 12), 200, 256, (125, 12, 250)),
    "croco-v2_vitl-base_8xb64-125e_cross-view": ((1024, 24, 16, 768, 12, 12), 418, 512, (125, 12, 250)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings(repository, name):
    sizes, millions, images, epochs = PUBLISHED[name]
    cfg = load_config(repository / f"configs/croco/{name}.py")
    network = cfg.model.network
    arguments = [f"{part}_{size}" for part in ("enc", "dec") for size in ("embed_dim", "depth", "num_heads")]
    assert tuple(network[argument] for argument in arguments) == sizes
    assert network.pos_embed == ("RoPE100" if "v2" in name else "cosine")
    with torch.device("meta"):
        model = build_model(cfg.model)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == pytest.approx(millions, rel=0.01)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(1.5e-4 * images / 256)
    assert cfg.optim_wrapper.type == ("OptimWrapper" if "v2" in name else "AmpOptimWrapper")
    warmup, cosine = cfg.param_scheduler
    assert (cfg.train_cfg.max_epochs, warmup.end, cosine.end) == epochs
    assert cosine.begin == warmup.end and cosine.T_max == cosine.end - cosine.begin
    assert warmup.convert_to_iter_based and cosine.convert_to_iter_based


def test_matrices_and_the_mask_token_are_decayed(repository):
    cfg = load_config(repository / "configs/croco/croco-v2_vits-small_4xb64-125e_cross-view.py")
    with torch.device("meta"):
        model = build_model(cfg.model)
    wrapper = cfg.optim_wrapper.copy()
    wrapper.optimizer.pop("fused")
    with DefaultScope.overwrite_default_scope("dense3d"):
        optimizer = build_optim_wrapper(model, wrapper).optimizer
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.05 if parameter.ndim > 1 else 0.0), name
    assert decay[id(model.mask_token)] == 0.05
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.95)


def test_pairs_come_from_the_environment(repository, monkeypatch, folder):
    write_pairs(folder / "mine.txt", [("train/left/000000.png", "train/right/000000.png")])
    for name, value in {"VIEWS": str(folder), "TRAIN_PAIRS": "mine.txt"}.items():
        monkeypatch.setenv(f"DENSE3D_{name}", value)
    monkeypatch.delenv("DENSE3D_VAL_PAIRS", raising=False)
    cfg = load_config(repository / "configs/croco/croco-v2_vitb-small_4xb64-125e_cross-view.py")
    assert cfg.val_dataloader.dataset.ann_file == "mine.txt"
    with DefaultScope.overwrite_default_scope("dense3d"):
        (item,) = DATASETS.build(cfg.train_dataloader.dataset)
    assert item["inputs"]["left"].shape == item["inputs"]["right"].shape == (3, 224, 224)
