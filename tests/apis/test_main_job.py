"""The main job from the command line and from Python, on a dozen small synthetic images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

from dense3d.apis import build_model, infer
from dense3d.apis import test as evaluate
from dense3d.datasets.synthetic import make_dataset
from dense3d.errors import CheckpointError, DataError

CONFIG = """
_base_ = {base!r}
root = {root!r}
train_dataloader = dict(batch_size=4, dataset=dict(data_root=root))
val_dataloader = dict(dataset=dict(data_root=root))
test_dataloader = dict(dataset=dict(data_root=root))
val_evaluator = dict(ann_file=root + "annotations/instances_val2017.json")
test_evaluator = dict(ann_file=root + "annotations/instances_val2017.json")
synthetic_data = dict(root=root, train=12, val=6, size=(96, 64))
test_pipeline_scale = (96, 64)
train_cfg = dict(max_epochs=2, val_interval=1)
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory, repository) -> Path:
    folder = tmp_path_factory.mktemp("main_job")
    base = str(repository / "configs/synthetic/dino_r18_synthetic-coco.py")
    path = folder / "tiny.py"
    path.write_text(CONFIG.format(base=base, root=f"{folder}/data/"))
    return path


@pytest.fixture(scope="module")
def run(config, repository) -> subprocess.CompletedProcess:
    """One training from the command line; it renders its data first."""
    command = [sys.executable, str(repository / "tools/train.py"), str(config)]
    command += ["--work-dir", str(config.parent / "run"), "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=config.parent, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def checkpoint(run, config) -> Path:
    return config.parent / "run" / "epoch_2.pth"


def test_screen_is_for_people(run):
    assert "DINO" in run.stdout
    assert "M parameters" in run.stdout
    assert "12 training, 6 validation images" in run.stdout
    assert "ETA" in run.stdout
    assert "AP_50" in run.stdout
    assert "next: dense3d test" in run.stdout.splitlines()[-1]
    noise = ("Config:", "System environment", "OneDL", "loading annotations", "Warning")
    assert not [word for word in noise if word in run.stdout + run.stderr]


def test_work_dir_holds_logs_curves_and_checkpoints(run, config):
    work_dir = config.parent / "run"
    log = next(work_dir.glob("*/*.log")).read_text()
    assert "System environment" in log
    assert "optim_wrapper" in log
    scalars = [
        json.loads(line) for line in next(work_dir.glob("*/vis_data/scalars.json")).read_text().splitlines()
    ]
    assert any("loss" in row for row in scalars)
    assert any("coco/bbox_mAP" in row for row in scalars)
    assert list(work_dir.glob("*/vis_data/events*"))
    assert cv2.imread(str(work_dir / "curves.png")) is not None
    assert {p.name for p in work_dir.glob("*.pth")} == {"epoch_1.pth", "epoch_2.pth"}
    assert not list(work_dir.glob(".*.tmp"))


def test_checkpoint_is_plain_data_and_knows_its_classes(checkpoint):
    loaded = torch.load(checkpoint, weights_only=True)
    assert tuple(loaded["meta"]["dataset_meta"]["classes"])[:2] == ("box", "sphere")


def test_evaluation_repeats_the_training_run_and_writes_coco_results(run, config, checkpoint, tmp_path):
    metrics = evaluate(config, checkpoint, out=tmp_path, work_dir=tmp_path / "log")
    rows = (config.parent / "run").glob("*/vis_data/scalars.json")
    logged = [json.loads(line) for line in next(rows).read_text().splitlines()]
    last = [row for row in logged if "coco/bbox_mAP" in row][-1]
    assert metrics["coco/bbox_mAP_50"] == last["coco/bbox_mAP_50"]
    assert json.loads((tmp_path / "metrics.json").read_text())["coco/bbox_mAP"] == metrics["coco/bbox_mAP"]

    from pycocotools.coco import COCO

    truth = COCO(config.parent / "data/annotations/instances_val2017.json")
    assert len(truth.loadRes(str(tmp_path / "predictions.bbox.json")).getImgIds()) == 6


def test_evaluation_with_augmentation_and_pictures(config, checkpoint, tmp_path):
    metrics = evaluate(config, checkpoint, tta=True, show_dir=tmp_path / "show", work_dir=tmp_path)
    assert 0 <= metrics["coco/bbox_mAP"] <= 1
    pictures = list((tmp_path / "show").rglob("*.jpg"))
    assert len(pictures) == 6
    assert all(cv2.imread(str(p)) is not None for p in pictures)


def test_inference_on_folders_and_broken_files(config, checkpoint, tmp_path):
    images = config.parent / "data/val2017"
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(next(images.iterdir()).read_bytes()[:100])
    report = infer(config, checkpoint, [images, broken], tmp_path / "out", score_threshold=0.0, batch_size=4)
    assert len(report.pictures) == 6
    assert list(report.left_out) == [str(broken)]
    assert all(cv2.imread(str(p)) is not None for p in report.pictures)
    entries = json.loads(report.results.read_text())
    assert {e["image_id"] for e in entries} == set(range(1, 7))
    assert {e["category_name"] for e in entries} <= {"box", "sphere", "cylinder", "cone", "torus", "cross"}
    widths = [e["bbox"][2] for e in entries]
    assert min(widths) >= 0
    assert max(widths) <= 96


def test_batched_inference_equals_single(config, checkpoint, tmp_path):
    images = [config.parent / "data/val2017"]
    one = json.loads(infer(config, checkpoint, images, tmp_path / "1", batch_size=1).results.read_text())
    four = json.loads(infer(config, checkpoint, images, tmp_path / "4", batch_size=4).results.read_text())
    assert len(one) == len(four)
    for a, b in zip(one, four):
        assert a["category_id"] == b["category_id"]
        assert a["score"] == pytest.approx(b["score"], abs=1e-4)
        assert a["bbox"] == pytest.approx(b["bbox"], abs=1e-2)


def test_inference_reads_the_layouts_that_evaluation_reads(config, checkpoint, tmp_path):
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    parallel, official = tmp_path / "parallel.pth", tmp_path / "official.pth"
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in weights.items()}}, parallel)
    loaded = build_model(config, parallel).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())
    torch.save({"model": weights}, official)
    with pytest.raises(CheckpointError, match=r"official\.pth has no 'state_dict'.*dense3d convert"):
        build_model(config, official)


def test_inputs_that_name_no_image(config, checkpoint, tmp_path):
    with pytest.raises(DataError, match=r"nowhere/\*\.jpg names no image"):
        infer(config, checkpoint, ["nowhere/*.jpg"], tmp_path)


def test_checkpoint_of_another_model(config, checkpoint, tmp_path):
    detr = config.parent / "detr.py"
    detr.write_text(config.read_text().replace("dino_r18", "detr_r18"))
    with pytest.raises(
        CheckpointError,
        match=r"does not fit the model PreNormDETR.*(?s:.*)decoder\.ref_point_head",
    ):
        evaluate(detr, checkpoint, work_dir=tmp_path)


def test_class_list_of_another_length(config, checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match=r"\[6, 128\] in the checkpoint, \[5, 128\] in the model"):
        evaluate(config, checkpoint, work_dir=tmp_path, options={"model.bbox_head.num_classes": 5})


def test_command_reports_one_sentence(config, repository, tmp_path):
    command = [sys.executable, str(repository / "tools/train.py"), str(config), "--work-dir", str(tmp_path)]
    command += ["--cfg-options", "model.num_querys=3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "num_querys" in done.stderr
    assert "num_queries" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_is_rendered_once(run, config):
    recipe = dict(layouts=("coco",), train=12, val=6, size=(96, 64), seed=0)
    assert make_dataset(config.parent / "data", **recipe) is False
