"""The data set parts of KITTI's configs: nothing unknown in them, and batches that can be looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dense3d.apis import browse
from dense3d.config import find_faults, load_config

CONFIG = """
_base_ = ["{base}", "{runtime}"]
mean, std = [123.7, 116.3, 103.5], [58.4, 57.1, 57.4]
model = dict(data_preprocessor=dict(type="mmengine.ImgDataPreprocessor", mean=mean, std=std))
"""
SMALL = """
root = "{root}/"
synthetic_data = dict(root=root, train=4, val=2, size=(208, 64))
train_dataloader = dict(batch_size=2, dataset=dict(data_root=root))
val_dataloader = dict(batch_size=2, dataset=dict(data_root=root))
"""


def write(folder: Path, repository: Path, name: str, more: str = "") -> Path:
    base, runtime = (repository / "configs/_base_" / f for f in (f"datasets/{name}.py", "runtime.py"))
    path = folder / "config.py"
    path.write_text(CONFIG.format(base=base, runtime=runtime) + more)
    return path


@pytest.mark.parametrize("name", ["kitti", "synthetic_kitti"])
def test_nothing_unknown(name, tmp_path, repository):
    cfg = load_config(write(tmp_path, repository, name))
    cfg.pop("model")  # a preprocessor alone is no model
    assert find_faults(cfg) == []


def test_batches_of_synthetic_streets_are_drawn(tmp_path, repository):
    config = write(tmp_path, repository, "synthetic_kitti", SMALL.format(root=tmp_path / "data"))
    result = browse(config, tmp_path / "out", number=4)
    assert (result.drawn, result.skipped) == (4, [])
    sheet = cv2.imread(str(result.sheets[0])).astype(int)
    first = np.flatnonzero((sheet != 40).any(axis=(1, 2)))[0]
    blue, _, red = sheet[first + 5 : first + 20].reshape(-1, 3).T  # the upper rows are mostly sky
    assert (blue > red + 5).sum() > 3 * (red > blue + 5).sum()
    assert (tmp_path / "data/ImageSets/train.txt").is_file()
