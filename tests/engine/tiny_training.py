"""A training run of a second that has everything random: augmentation, drop path, dropout, EMA, AMP.

It appends every loss to ``losses.jsonl`` in the work directory (flushed at once, so that nothing is lost
when it is killed) and writes the final weights to ``final.pt``. As a script (torchrun needs one)::

    python tests/engine/tiny_training.py WORK_DIR '{"loop": "iter", "launcher": "pytorch"}'
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn

from dense3d.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

SAMPLES = 26
BATCH = 4


@TRANSFORMS.register_module()
class NoisyTransform:
    """Draws from all three generators, as real augmentations do."""

    def __call__(self, sample: dict) -> dict:
        image = sample["image"] * random.uniform(0.5, 1.5)
        image = image + torch.randn_like(image) * 0.1
        if np.random.rand() < 0.5:
            image = image.flip(-1)
        return {"inputs": image, "target": sample["target"], "img_path": sample["img_path"]}


@DATASETS.register_module()
class TinyDataset(BaseDataset):
    """Random images whose target is a function of them."""

    METAINFO: ClassVar = {"classes": ("a", "b", "c"), "palette": np.zeros((3, 3), dtype=np.uint8)}

    def __init__(self, poison: int = -1, slow: float = 0.0, **kwargs) -> None:
        self.poison, self.slow = poison, slow
        super().__init__(serialize_data=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        generator = torch.Generator().manual_seed(1)
        images = torch.randn(SAMPLES, 3, 8, 8, generator=generator)
        return [
            {
                "image": image * (float("nan") if i == self.poison or self.poison == -2 else 1),
                "target": image[0, :2, 0] * 2,
                "img_path": f"image_{i:02d}.jpg",
                "width": 8 + i % 3,
                "height": 9,
            }
            for i, image in enumerate(images)
        ]

    def prepare_data(self, idx: int) -> dict:
        time.sleep(self.slow)
        return super().prepare_data(idx)


@MODELS.register_module()
class TinyModel(BaseModel):
    """Two convolutions with dropout and drop path between, and batch norm where asked for.

    From step ``nan_weights`` on weights are NaN; in steps ``nan_gradients`` the gradients are.
    """

    def __init__(
        self,
        width: int = 8,
        norm: bool = True,
        rate: float = 0.3,
        dropout: bool = True,
        nan_gradients: tuple[int, ...] = (),
        nan_weights: int = -1,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.steps, self.nan_gradients, self.nan_weights = 0, nan_gradients, nan_weights
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.branch = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, 2)
        self.rate, self.dropout = rate, rate if dropout else 0.0

    def forward(self, inputs, target, mode: str = "loss", **kwargs):
        x = torch.stack(list(inputs))
        x = torch.relu(self.norm(self.stem(x)))
        branch = nn.functional.dropout(self.branch(x), self.dropout, self.training)
        if self.training and self.rate:
            keep = (torch.rand(len(x), 1, 1, 1) > self.rate).to(x.dtype)
            branch = branch * keep
        prediction = self.head((x + branch).mean((2, 3)))
        if mode != "loss":
            return prediction
        self.steps += 1
        if self.steps in self.nan_gradients:
            prediction.register_hook(lambda gradient: gradient * float("nan"))
        if self.steps == self.nan_weights:
            self.stem.weight.data.fill_(float("nan"))
        return {"loss_l2": (prediction.float() - torch.stack(list(target))).square().mean()}


@HOOKS.register_module()
class WriteLosses(Hook):
    """Append each iteration's loss, exactly, to a file."""

    priority = "VERY_HIGH"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        loss = float(outputs["loss"].detach())
        record = {"iter": runner.iter, "epoch": runner.epoch, "loss": loss.hex()}
        record["files"] = data_batch["img_path"]
        name = f"losses_{runner.rank}.jsonl" if runner.rank else "losses.jsonl"
        with Path(runner.work_dir, name).open("a") as file:
            file.write(json.dumps(record) + "\n")


@METRICS.register_module()
class TinyMetric(BaseMetric):
    """Mean error; draws random numbers and takes its time, as a real evaluation may."""

    default_prefix = "tiny"

    def __init__(self, work_dir: str, seconds: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.work_dir, self.seconds = Path(work_dir), seconds

    def process(self, data_batch, data_samples) -> None:
        targets = torch.stack(list(data_batch["target"]))
        self.results.append(float((torch.stack(list(data_samples)) - targets).abs().mean()))

    def compute_metrics(self, results: list) -> dict:
        torch.rand(3)
        (self.work_dir / "validating").touch()
        time.sleep(self.seconds)
        error = float(np.mean(results))
        with (self.work_dir / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(error) + "\n")
        return {"error": error}


def config(work_dir: str, loop: str = "epoch", workers: int = 0, **changes) -> dict:
    """Config of the run; ``changes`` replace top-level entries."""
    if loop == "epoch":
        train_cfg = {"type": "EpochBasedTrainLoop", "max_epochs": 4}
        sampler = {"type": "DefaultSampler", "shuffle": True}
        interval = 2
    else:
        train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 28}
        sampler = {"type": "DefaultSampler" if loop == "iter" else "InfiniteSampler", "shuffle": True}
        interval = 3
    loader = {
        "batch_size": BATCH,
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "sampler": sampler,
        "dataset": {"type": "TinyDataset", "pipeline": [{"type": "NoisyTransform"}]},
    }
    cfg = {
        "model": {"type": "TinyModel"},
        "work_dir": str(work_dir),
        "train_dataloader": loader,
        "train_cfg": train_cfg,
        "optim_wrapper": {
            "type": "AmpOptimWrapper",
            "loss_scale": {"init_scale": 1024.0, "growth_interval": 5},
            "optimizer": {"type": "AdamW", "lr": 0.01},
            "clip_grad": {"max_norm": 1.0},
        },
        "param_scheduler": [
            {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 6},
            {"type": "CosineAnnealingLR", "by_epoch": False, "begin": 6, "end": 28, "T_max": 22},
        ],
        "default_hooks": {
            "checkpoint": {
                "type": "CheckpointHook",
                "interval": interval,
                "by_epoch": False,
                "max_keep_ckpts": 3,
            },
            "logger": {"type": "LoggerHook", "interval": 100},
        },
        "custom_hooks": [{"type": "WriteLosses"}, {"type": "EMAHook", "momentum": 0.1}],
        "default_scope": "dense3d",
        "randomness": {"seed": 7},
        "log_level": "WARNING",
    }
    cfg.update(changes)
    return cfg


def slow_saving(seconds: float) -> None:
    """Stretch each save over some time, so that a kill falls into it: writing, and before the rename."""
    save, replace = torch.save, Path.replace

    def save_slowly(obj, file, **kwargs) -> None:
        import io

        buffer = io.BytesIO()
        save(obj, buffer)
        data = buffer.getvalue()
        for start in range(0, len(data), max(1, len(data) // 5)):
            file.write(data[start : start + max(1, len(data) // 5)])
            file.flush()
            time.sleep(seconds / 5)

    def replace_slowly(self, target):
        time.sleep(seconds / 5)
        return replace(self, target)

    torch.save, Path.replace = save_slowly, replace_slowly


def fill_disk(path: Path) -> None:
    """Let the temporary file of ``path`` be on a device that the kernel calls full."""
    from dense3d import files

    files.secrets = SimpleNamespace(token_hex=lambda size: "0" * 2 * size)
    path.with_name(f".{path.name}.{os.getpid()}.00000000.tmp").symlink_to("/dev/full")


def train(
    work_dir: str,
    loop: str = "epoch",
    workers: int = 0,
    saving: float = 0.0,
    loading: float = 0.0,
    batch_size: int = BATCH,
    validate: bool = False,
    validation: float = 0.0,
    full_disk_at: str | None = None,
    poison: int = -1,
    metainfo: dict | None = None,
    **changes,
) -> None:
    """Train to the end and write ``final.pt``.

    Args:
        work_dir: for checkpoints and losses.
        loop: ``epoch``, ``iter`` (a finite sampler, pass after pass) or ``infinite``.
        workers: of the data loader.
        saving: seconds that a save is stretched to.
        loading: seconds that a sample takes.
        batch_size: samples in a batch of a process.
        validate: whether to validate.
        validation: seconds that a validation takes.
        full_disk_at: name of the checkpoint for which no space is left.
        poison: index of a sample that is NaN; -2 for all.
        metainfo: of the data set, instead of its own.
        **changes: entries of the config to replace, such as ``resume=True``.
    """
    from dense3d.engine import Runner

    torch.set_num_threads(1)
    cfg = config(work_dir, loop, workers, **changes)
    cfg["train_dataloader"]["batch_size"] = batch_size
    cfg["train_dataloader"]["dataset"]["slow"] = loading
    cfg["train_dataloader"]["dataset"].update(poison=poison, metainfo=metainfo)
    if validate:
        loader = {**cfg["train_dataloader"], "sampler": {"type": "DefaultSampler", "shuffle": False}}
        metric = {"type": "TinyMetric", "work_dir": str(work_dir), "seconds": validation}
        cfg.update(val_dataloader=loader, val_cfg={}, val_evaluator=metric)
    if full_disk_at:
        fill_disk(Path(work_dir, full_disk_at))
    if saving:
        slow_saving(saving)
    runner = Runner.from_cfg(cfg)
    runner.train()
    if runner.rank == 0:
        torch.save(runner.model.state_dict(), Path(work_dir, "final.pt"))


if __name__ == "__main__":
    train(sys.argv[1], **json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})
