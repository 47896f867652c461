"""What a training imports: its own system and what all share, and no other system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dense3d.datasets.synthetic import make_dataset

ROOT = Path(__file__).parents[2]
CONFIG = """
_base_ = ["{base}"]
root = "{root}"
synthetic_data = None
train_cfg = dict(max_epochs=1, val_interval=9)
train_dataloader = dict(dataset=dict(data_root=root))
val_dataloader = dict(dataset=dict(data_root=root))
val_evaluator = dict(ann_file=root + "annotations/instances_val2017.json")
"""
CODE = """
import sys
from dense3d.apis import train
train(sys.argv[1], work_dir=sys.argv[2])
print("MODULES", *sys.modules)
"""
OTHERS = (
    "dense3d.adapters",
    "dense3d.checkpoints",
    "dense3d.datasets.image_folder",
    "dense3d.datasets.kitti",
    "dense3d.detection2d",
    "dense3d.detection3d",
    "dense3d.early_exit",
    "dense3d.evaluation.kitti",
    "dense3d.evaluation.label_files",
    "dense3d.evaluation.panoptic",
    "dense3d.pretraining",
    "dense3d.segmentation",
    "dense3d.structures",
)


@pytest.fixture(scope="module")
def modules(tmp_path_factory) -> set[str]:
    """Modules in memory after one step of DINO, an mmdet model on our backbone."""
    folder = tmp_path_factory.mktemp("run")
    make_dataset(folder / "data", layouts=("coco",), train=8, val=2, size=(96, 64))
    config = folder / "dino.py"
    base = ROOT / "configs/synthetic/dino_r18_synthetic-coco.py"
    config.write_text(CONFIG.format(base=base, root=f"{folder}/data/"))
    command = [sys.executable, "-W", "ignore", "-c", CODE, str(config), str(folder / "work")]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))  # away from what the checkout has rendered
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_dino_imports_no_other_system(modules):
    assert sorted(m for m in modules if m.startswith(OTHERS)) == []
    backbones = {m for m in modules if m.startswith("dense3d.backbones.")}
    assert {m for m in backbones if not m.startswith("dense3d.backbones.timm")} == set()


def test_dino_imports_no_library_that_it_does_not_use(modules):
    unused = ("imgaug", "kornia", "mmseg", "nerfstudio", "open3d", "sklearn", "wandb")
    assert [name for name in unused if name in modules] == []


def test_dino_runs_on_few_of_our_modules(modules):
    ours = sorted(m for m in modules if m.startswith("dense3d"))
    assert "dense3d.engine.runner" in ours
    assert len(ours) <= 105, ours
