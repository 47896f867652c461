"""The first losses of the small detectors, against the committed records (see tests/losses/loss_file.py)."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from losses import loss_file

from dense3d.config import load_config
from dense3d.engine import Runner

RECORDS = ("dino", "relation-detr")
STEPS = 4
# Query selection and matching choose between nearly equal candidates, so rounding can show sooner than in
# the tiny network; other convolution kernels must stay well inside (tested below).
FIRST, GROWTH = 1e-4, 2.0


def write_rectangles(folder: Path) -> None:
    """Eight noise images with bright rectangles, in COCO's layout; the same on every machine."""
    generator = np.random.Generator(np.random.PCG64(5))
    (folder / "train2017").mkdir(parents=True)
    images, annotations = [], []
    for image_id in range(1, 9):
        image = generator.integers(0, 80, (64, 96, 3), dtype=np.uint8)
        for _ in range(int(generator.integers(1, 4))):
            x, y = int(generator.integers(0, 60)), int(generator.integers(0, 40))
            w, h = int(generator.integers(12, 36)), int(generator.integers(10, 24))
            label = int(generator.integers(1, 7))
            image[y : y + h, x : x + w] = 100 + 25 * label
            box = [x, y, w, h]
            annotation = dict(image_id=image_id, category_id=label, bbox=box, area=w * h, iscrowd=0)
            annotations.append(dict(annotation, id=len(annotations) + 1, segmentation=[]))
        name = f"{image_id:012}.png"
        cv2.imwrite(str(folder / "train2017" / name), image)
        images.append(dict(id=image_id, file_name=name, height=64, width=96))
    names = ("box", "sphere", "cylinder", "cone", "torus", "cross")
    categories = [dict(id=i, name=name) for i, name in enumerate(names, start=1)]
    (folder / "annotations").mkdir()
    text = json.dumps(dict(images=images, annotations=annotations, categories=categories))
    (folder / "annotations/instances_train2017.json").write_text(text)


def losses(config: Path, work_dir: Path, seed: int = 0) -> list[dict[str, float]]:
    """Total loss of the first steps, in float32."""
    write_rectangles(work_dir / "data")
    cfg = load_config(
        config,
        {
            "train_dataloader.dataset.data_root": str(work_dir / "data"),
            "train_dataloader.batch_size": 2,
            "train_cfg.max_epochs": 1,
            "optim_wrapper.type": "OptimWrapper",
            "randomness.seed": seed,
            "experiment_name": str(work_dir),
        },
    )
    del cfg.optim_wrapper["dtype"]
    for key in (
        "val_dataloader",
        "val_cfg",
        "val_evaluator",
        "test_dataloader",
        "test_cfg",
        "test_evaluator",
    ):
        cfg[key] = None
    cfg.train_cfg.pop("val_interval")
    cfg.env_cfg.dist_cfg.backend = "gloo"
    cfg.work_dir = str(work_dir)
    runner = Runner.from_cfg(cfg)
    recorder = loss_file.RecordLosses()
    runner.register_hook(recorder)
    runner.train()
    return [{"loss": step["loss"]} for step in recorder.steps[:STEPS]]


@pytest.fixture(scope="module", params=RECORDS)
def record(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def config(repository, record) -> Path:
    return repository / f"configs/synthetic/{record}_r18_synthetic-coco.py"


@pytest.fixture(scope="module")
def found(config, tmp_path_factory) -> list[dict[str, float]]:
    return losses(config, tmp_path_factory.mktemp("losses"))


def test_training_gives_the_recorded_losses(record, found):
    loss_file.compare_with_record(record, found, first=FIRST, growth=GROWTH)


def test_another_seed_is_noticed(config, found, tmp_path):
    other = losses(config, tmp_path, seed=1)
    assert loss_file.deviations(other, found, first=FIRST, growth=GROWTH)


def test_rounding_stays_within_a_tenth_of_the_tolerance(config, found, tmp_path):
    with torch.backends.mkldnn.flags(enabled=False):
        other = losses(config, tmp_path)
    assert loss_file.deviations(other, found, first=FIRST / 10, growth=GROWTH) == []
