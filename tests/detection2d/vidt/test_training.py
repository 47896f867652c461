"""The small configs on a few rendered close-ups: training, resuming, a teacher, data without masks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmdet.evaluation import CocoMetric

from dense3d.apis import train
from dense3d.cli.dispatch import main
from dense3d.config import load_config
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.detection2d.vidt.targets import image_masks, relative_boxes
from dense3d.engine import load_checkpoint
from dense3d.errors import DataError
from dense3d.registry import DATASETS, MODELS

PLUS, DISTILLED = "vidt-plus_swin_synthetic-coco", "vidt_swin_distilled_synthetic-coco"


def annotations(folder: Path, split: str) -> Path:
    return folder / f"annotations/instances_{split}2017.json"


def rewrite(path: Path, change) -> None:
    """Change the annotations of a file in place: ``change`` gives those to keep."""
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | dict(annotations=change(document["annotations"]))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Six images to train on, of which the first has no object, and three others."""
    root = tmp_path_factory.mktemp("data") / "close-ups"
    ensure_dataset(
        root, layouts=("coco",), train=6, val=3, size=(64, 64), seed=0, scenes="close_up", workers=1
    )
    path = annotations(root, "train")
    first = json.loads(path.read_text())["images"][0]["id"]
    rewrite(path, lambda known: [a for a in known if a["image_id"] != first])
    return root


def options_of(folder: Path) -> dict:
    """Options that put a shipped config on the small data set: two epochs of three iterations."""
    options = {f"{s}_dataloader.dataset.data_root": f"{folder}/" for s in ("train", "val", "test")}
    options |= {f"{s}_evaluator.ann_file": str(annotations(folder, "val")) for s in ("val", "test")}
    return options | {
        "synthetic_data": None,
        "train_dataloader.batch_size": 2,
        "train_cfg.max_epochs": 2,
        "train_cfg.val_interval": 2,
        "param_scheduler.1.T_max": 2,
    }


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    return train(load_config(PLUS, options_of(folder)), work_dir=tmp_path_factory.mktemp("run"))


def test_a_run_is_evaluated_by_boxes_and_masks_and_resumes_to_the_same_weights(run, folder, tmp_path):
    for kind in ("bbox", "segm"):
        assert 0 <= run.metrics[f"coco/{kind}_mAP_50"] <= 1
    start = run.checkpoint.with_name("epoch_1.pth")
    again = train(load_config(PLUS, options_of(folder)), work_dir=tmp_path, resume=start)
    first, second = (load_checkpoint(r.checkpoint)["state_dict"] for r in (run, again))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_student_trains_from_the_command_line(run, folder, tmp_path):
    teacher = {"model.teacher.checkpoint": str(run.checkpoint)}
    options = [f"{key}={value}" for key, value in (options_of(folder) | teacher).items()]
    work_dir = tmp_path / "run"
    assert main(["train", DISTILLED, "--work-dir", str(work_dir), "--cfg-options", *options]) == 0
    state = load_checkpoint(work_dir / "epoch_2.pth")["state_dict"]
    assert state["backbone.det_token"].shape[-1] == 16 and not any("teacher" in name for name in state)
    logged = [json.loads(line) for line in next(work_dir.rglob("scalars.json")).read_text().splitlines()]
    distances = [line["loss_distil"] for line in logged if "loss_distil" in line]
    assert len(distances) == 2 and min(distances) > 0


def test_a_teacher_that_is_missing_is_named(folder, tmp_path, capsys):
    options = [f"{key}={value}" for key, value in options_of(folder).items()]
    absent = f"model.teacher.checkpoint={tmp_path}/absent.pth"
    arguments = ["train", DISTILLED, "--work-dir", str(tmp_path), "--cfg-options", *options, absent]
    assert main(arguments) != 0
    assert "absent.pth" in (shown := capsys.readouterr().err) and "Traceback" not in shown


def test_predictions_that_are_the_truth_score_one(folder):
    """What training learns is what evaluation asks for: labels, boxes and mask vectors fit together."""
    cfg = load_config(PLUS, options_of(folder))
    model = MODELS.build(cfg.model)
    pipeline = [step for step in cfg.train_pipeline if "RandomFlip" not in step["type"]]
    data = DATASETS.build(cfg.val_dataloader.dataset | dict(pipeline=pipeline, test_mode=False))
    metric = CocoMetric(ann_file=str(annotations(folder, "val")), metric=["bbox", "segm"])
    metric.dataset_meta = data.metainfo
    for item in data:
        sample = item["data_samples"]
        sample.gt_instances.bboxes = sample.gt_instances.bboxes.tensor
        labels, size = sample.gt_instances.labels, sample.img_shape
        vectors = model.coder.of_boxes(image_masks(sample, size), sample.gt_instances.bboxes)
        logits = torch.full((len(labels), 6), -9.0).scatter(1, labels[:, None], 9.0)
        sample.pred_instances = model.detections(logits, relative_boxes(sample), vectors, size)
        metric.process({}, [sample.to_dict()])
    scores = metric.evaluate(len(data))
    assert scores["coco/bbox_mAP"] == 1 and scores["coco/segm_mAP_50"] == 1
    assert scores["coco/segm_mAP"] > 0.8


def test_boxes_alone(folder, tmp_path):
    """Without masks ViDT+ names what is missing, and trains with what is left of it."""
    for split in ("train", "val"):
        path = annotations(folder, split)
        boxes = lambda known: [{k: v for k, v in a.items() if k != "segmentation"} for a in known]  # noqa: E731
        (tmp_path / "annotations").mkdir(exist_ok=True)
        annotations(tmp_path, split).write_text(path.read_text())
        rewrite(annotations(tmp_path, split), boxes)
        (tmp_path / f"{split}2017").symlink_to(folder / f"{split}2017")
    options = options_of(tmp_path)
    with pytest.raises(DataError, match=r"it has no mask.*with_mask=False"):
        train(load_config(PLUS, options), work_dir=tmp_path / "masks")
    options |= {
        "model.mask_vectors": None,
        "model.token_label": False,
        "train_dataloader.dataset.pipeline.1.with_mask": False,
        "val_evaluator.metric": "bbox",
        "train_cfg.max_epochs": 1,
        "train_cfg.val_interval": 1,
    }
    assert "coco/bbox_mAP" in train(load_config(PLUS, options), work_dir=tmp_path / "boxes").metrics
