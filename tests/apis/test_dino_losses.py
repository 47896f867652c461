"""The first losses of the small DINO, against the committed record (see tests/losses/loss_file.py)."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from losses import loss_file

from dense3d.config import load_config
from dense3d.engine import Runner

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


def losses(repository: Path, work_dir: Path, seed: int = 0) -> list[dict[str, float]]:
    """Total loss of the first steps, in float32."""
    write_rectangles(work_dir / "data")
    cfg = load_config(
        repository / "configs/synthetic/dino_r18_synthetic-coco.py",
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


def test_dino_trains_to_the_recorded_losses(repository, tmp_path):
    found = losses(repository, tmp_path)
    loss_file.compare_with_record("dino", found, first=FIRST, growth=GROWTH)


def test_another_seed_is_noticed(repository, tmp_path):
    expected = losses(repository, tmp_path / "a")
    other = losses(repository, tmp_path / "b", seed=1)
    assert loss_file.deviations(other, expected, first=FIRST, growth=GROWTH)


def test_rounding_stays_within_a_tenth_of_the_tolerance(repository, tmp_path):
    expected = losses(repository, tmp_path / "a")
    with torch.backends.mkldnn.flags(enabled=False):
        other = losses(repository, tmp_path / "b")
    assert loss_file.deviations(other, expected, first=FIRST / 10, growth=GROWTH) == []
