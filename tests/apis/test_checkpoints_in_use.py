"""Checkpoints in training, test and prediction of the README's main config, made small: what is refused, what
is never fetched, and what an image of NaN leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

import dense3d
from dense3d.apis import test as evaluate
from dense3d.apis import testing, train
from dense3d.config import load_config
from dense3d.errors import CheckpointError, ConfigError, TrainingError
from dense3d.registry import HOOKS

CONFIG = """
_base_ = {base!r}
root = {root!r}
train_dataloader = dict(batch_size=4, dataset=dict(data_root=root))
val_dataloader = dict(dataset=dict(data_root=root))
test_dataloader = dict(dataset=dict(data_root=root))
val_evaluator = dict(ann_file=root + "annotations/instances_val2017.json")
test_evaluator = dict(ann_file=root + "annotations/instances_val2017.json")
synthetic_data = dict(root=root, train=12, val=6, size=(96, 64))
"""
QUICK = {"val_cfg": None, "val_dataloader": None, "val_evaluator": None}


@HOOKS.register_module(force=True)
class NanImages(Hook):
    """Turns an image of some batches into NaN."""

    priority = "HIGHEST"

    def __init__(self, batches: tuple[int, ...]) -> None:
        self.batches = batches

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if runner.iter + 1 in self.batches:
            data_batch["inputs"][1] = data_batch["inputs"][1].float() * float("nan")


@pytest.fixture(scope="module")
def config(tmp_path_factory, repository) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints_in_use")
    base = str(repository / "configs/synthetic/dino_r18_synthetic-coco.py")
    path = folder / "tiny.py"
    path.write_text(CONFIG.format(base=base, root=f"{folder}/data/"))
    return path


def run(config: Path, work_dir: Path, batches: tuple[int, ...], epochs: int = 1, **options) -> str:
    """Train; what was logged."""
    cfg = load_config(config)
    for key, value in {**QUICK, **options}.items():
        cfg[key] = value
    cfg.train_cfg.max_epochs = epochs
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), {"type": "NanImages", "batches": batches}]
    train(cfg, work_dir)
    (log,) = work_dir.glob("*/*.log")
    return log.read_text()


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory) -> tuple[Path, str]:
    """A run whose second batch of three has a NaN, and its log."""
    folder = tmp_path_factory.mktemp("trained")
    return folder / "epoch_1.pth", run(config, folder, (2,))


def test_an_image_of_nan_is_named_and_leaves_nothing_behind(trained):
    """Through the Hungarian matcher, whose costs are NaN, to the loss."""
    checkpoint, log = trained
    (line,) = [line for line in log.splitlines() if "this step is left out" in line]
    assert "the loss is nan at iteration 2; this step is left out (1 so far): " in line
    assert line.count(".jpg") == 4
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_nothing_but_images_of_nan_ends_the_run(config, tmp_path):
    message = r"the loss was not finite 10 times in a row, last at iteration 10 \(loss nan\).*\.jpg"
    with pytest.raises(TrainingError, match=message):
        run(config, tmp_path, tuple(range(1, 13)), epochs=4)
    assert all(
        torch.isfinite(tensor).all()
        for path in tmp_path.glob("*.pth")
        for tensor in torch.load(path, weights_only=True)["state_dict"].values()
    )


def damaged(checkpoint: Path, folder: Path) -> Path:
    """A copy with one weight NaN."""
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"]["bbox_head.cls_branches.0.weight"][0, 0] = float("nan")
    torch.save(content, folder / "nan.pth")
    return folder / "nan.pth"


def test_weights_of_nan_are_refused_by_all_who_use_them(config, trained, tmp_path):
    path = damaged(trained[0], tmp_path)
    message = r"nan\.pth holds weights that are not finite \(bbox_head\.cls_branches\.0\.weight\)"
    with pytest.raises(CheckpointError, match=message):
        dense3d.load(config, path)
    with pytest.raises(CheckpointError, match=message):
        evaluate(config, path, work_dir=tmp_path)
    with pytest.raises(CheckpointError, match=message):
        run(config, tmp_path / "from", (), load_from=str(path))


def test_loading_in_part_is_for_training_alone(config, trained, tmp_path):
    other = tmp_path / "other.py"
    text = f"_base_ = {str(config)!r}\nstrict_load = False\nmodel = dict(bbox_head=dict(num_classes=9))\n"
    other.write_text(text)
    with pytest.raises(CheckpointError, match="cls_branches"):
        evaluate(other, trained[0], work_dir=tmp_path / "test")
    with pytest.raises(CheckpointError, match="cls_branches"):
        dense3d.load(other, trained[0])


def test_a_missing_file_is_told_before_anything_else(config, tmp_path, monkeypatch):
    monkeypatch.setattr(testing, "prepare_config", None)
    for use in (evaluate, dense3d.load):
        with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
            use(config, tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
        train(config, tmp_path / "run", options={"load_from": str(tmp_path / "none.pth")})


def test_nothing_is_fetched_that_a_checkpoint_replaces(config, trained, tmp_path, monkeypatch):
    """A timm backbone's release and an ``init_cfg`` anywhere, in test, prediction and training."""
    import timm

    create = timm.create_model

    def refuse(*args, pretrained: bool = False, **kwargs):
        assert not pretrained, "weights would be fetched"
        return create(*args, pretrained=False, **kwargs)

    monkeypatch.setattr(timm, "create_model", refuse)
    fetching = tmp_path / "fetching.py"
    pretrained = 'init_cfg=[dict(type="Pretrained", checkpoint="https://no.where/x.pth")]'
    fetching.write_text(
        f"_base_ = {str(config)!r}\n"
        f"model = dict(backbone=dict(pretrained=True, {pretrained}), neck=dict({pretrained}))\n"
    )
    evaluate(fetching, trained[0], work_dir=tmp_path / "test")
    dense3d.load(fetching, trained[0])
    run(fetching, tmp_path / "from", (), load_from=str(trained[0]))
    run(fetching, tmp_path / "resumed", (), resume=True, load_from=str(trained[0]))
    with pytest.raises(ConfigError, match="would be fetched"):
        run(fetching, tmp_path / "anew", ())
