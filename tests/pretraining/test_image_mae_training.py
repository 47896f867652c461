"""MAE on a folder of images, from the config to a backbone for fine-tuning."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dense3d.apis import infer, load, train
from dense3d.apis import test as evaluate
from dense3d.config import load_config
from dense3d.engine import load_checkpoint
from dense3d.errors import ConfigError
from dense3d.registry import MODELS

OPTIONS = {
    "synthetic_data": None,
    "train_dataloader.batch_size": 2,
    "val_dataloader.batch_size": 2,
    "train_cfg.max_iters": 2,
    "train_cfg.val_interval": 2,
    "default_hooks.checkpoint.interval": 2,
    "train_pipeline.1.size": (32, 32),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name in ("one.jpg", "below/two.jpg", "below/three.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), random.integers(0, 256, (40, 48, 3), dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def config(folder, repository):
    roots = {f"{s}_dataloader.dataset.data_root": str(folder) for s in ("train", "val", "test")}
    return load_config(repository / "configs/mae/mae_vit-tiny_synthetic.py", OPTIONS | roots)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    return train(config, work_dir=tmp_path_factory.mktemp("run"))


def test_training_on_a_folder_reports_the_error_of_held_out_images(run, config):
    assert run.checkpoint.name == "iter_2.pth"
    assert 0.5 < run.metrics["reconstruction/error"] < 3  # normalised noise has variance 1
    metrics = evaluate(config.copy(), run.checkpoint, work_dir=run.work_dir / "test")
    assert metrics["reconstruction/error"] == pytest.approx(run.metrics["reconstruction/error"], rel=0.1)


def test_reconstructions_are_drawn(run, config, folder, tmp_path):
    report = infer(config.copy(), run.checkpoint, [folder], tmp_path)
    assert len(report.pictures) == 3
    picture = cv2.imread(str(report.pictures[0]))
    assert picture.shape == (320, 3 * 320 + 2 * 4, 3)
    patches = picture[:, 324:644].reshape(16, 20, 16, 20, 3).swapaxes(1, 2)[:, :, 6:14, 6:14].astype(int)
    grey = abs(patches - 128).max((2, 3, 4)) < 12  # what JPEG leaves of removed patches
    assert grey.sum() == 192


def test_predictor_gives_the_reconstruction_that_infer_draws(run, config, folder):
    result = load(config.copy(), run.checkpoint, device="cpu")(folder)[0]
    assert result.fields == ("original", "masked", "reconstruction")
    seen = (result.masked != 128).any(axis=2)
    assert np.array_equal(result.masked[seen], result.original[seen])
    assert 0.7 < 1 - seen.mean() < 0.8
    assert result.plot().shape == (320, 3 * 320 + 2 * 4, 3)


def test_augmented_inference_is_refused(run, config, folder, tmp_path):
    with pytest.raises(ConfigError, match="MaskedAutoencoder has neither"):
        infer(config.copy(), run.checkpoint, [folder], tmp_path, tta=True)


def test_fine_tuning_starts_from_the_encoder(run, repository):
    path = repository / "configs/mae/mae-vit-tiny_fcn_synthetic-ade20k-5percent.py"
    backbone = load_config(path, {"model.backbone.init_cfg.checkpoint": str(run.checkpoint)}).model.backbone
    model = MODELS.build({**backbone, "type": "VisionTransformer"})
    model.init_weights()
    weights = load_checkpoint(run.checkpoint)["state_dict"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[f"encoder.{name}"]), name


def test_published_fine_tuning_trains_the_positions_of_pre_training(run, repository):
    cfg = load_config(repository / "configs/mae/upernet_mae-vit-b_8xb2-160k_ade20k-512x512.py")
    with torch.device("meta"):
        vit = MODELS.build(dict(cfg.model.backbone.vit, type="VisionTransformer"))
    assert vit.pos_embed.requires_grad
    tiny = dict(embed_dim=192, depth=4, num_heads=3, patch_size=8, pretrain_size=128, position="learned")
    init_cfg = dict(type="Pretrained", checkpoint=str(run.checkpoint))
    model = MODELS.build(dict(type="VisionTransformer", arch=tiny, init_cfg=init_cfg))
    model.init_weights()
    weights = load_checkpoint(run.checkpoint)["state_dict"]
    assert torch.equal(model.pos_embed, weights["encoder.pos_embed"])
    assert model.pos_embed.requires_grad


@pytest.mark.parametrize(
    ("variables", "train_root", "val_root"),
    [
        ({}, "data/imagenet/train", "data/imagenet/val"),
        ({"IMAGES": "photos"}, "photos/train", "photos/val"),
        ({"TRAIN_IMAGES": "photos"}, "photos", "photos"),
        ({"TRAIN_IMAGES": "photos", "VAL_IMAGES": "held/out"}, "photos", "held/out"),
    ],
)
def test_folders_come_from_the_environment(repository, monkeypatch, variables, train_root, val_root):
    for name in ("IMAGES", "TRAIN_IMAGES", "VAL_IMAGES"):
        monkeypatch.delenv(f"DENSE3D_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"DENSE3D_{name}", value)
    cfg = load_config(repository / "configs/mae/mae_vit-b_64xb64-1600e_imagenet.py")
    roots = [cfg[f"{kind}_dataloader"].dataset.data_root for kind in ("train", "val", "test")]
    assert roots == [train_root, val_root, val_root]


def test_published_settings(repository):
    """Learning rate, weight decay and sizes as in the paper's table 8 and section 4.1."""
    sizes = {}
    for size in "blh":
        cfg = load_config(repository / f"configs/mae/mae_vit-{size}_64xb64-1600e_imagenet.py")
        assert cfg.optim_wrapper.optimizer.lr == pytest.approx(1.5e-4 * 64 * 64 / 256)
        with torch.device("meta"):
            model = MODELS.build(cfg.model)
        sizes[size] = sum(p.numel() for p in model.parameters())
        assert model.decoder.embed.out_features == 512
        assert len(model.decoder.blocks) == 8
    # millions of parameters of the official models, encoder and decoder
    assert {k: round(v / 1e6) for k, v in sizes.items()} == {"b": 112, "l": 330, "h": 657}
