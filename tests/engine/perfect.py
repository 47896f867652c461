"""Validation whose predictions are the ground truth: what is right scores 1.0, whatever way it is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from PIL import Image
from torch import nn

from dense3d.engine import Runner
from dense3d.registry import MODELS

CLASSES = ("disk", "box")


@MODELS.register_module()
class PerfectDetector(BaseModel):
    """Hands the annotated boxes back; has a head of ``num_classes`` all the same."""

    def __init__(self, num_classes: int = 2, data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor or dict(type="mmdet.DetDataPreprocessor"))
        self.num_classes = num_classes
        self.head = nn.Linear(1, num_classes)

    def forward(self, inputs, data_samples=None, mode: str = "tensor"):
        if mode == "loss":
            return {"loss": self.head.weight.sum() * 0}
        for sample in data_samples:
            truth = sample.gt_instances
            sample.pred_instances = InstanceData(
                bboxes=truth.bboxes, labels=truth.labels, scores=torch.ones(len(truth.labels))
            )
        return data_samples


def document(images: int = 3, first: int = 1, name: str = "{:03d}.jpg", classes=CLASSES) -> dict:
    """COCO annotations with two boxes an image; the category ids are 3, 6, 9 ..."""
    categories = [{"id": 3 * i + 3, "name": name} for i, name in enumerate(classes)]
    numbers = range(first, first + images)
    return {
        "images": [{"id": n, "file_name": name.format(n), "width": 48, "height": 40} for n in numbers],
        "annotations": [
            {
                "id": 2 * k + i + 1,
                "image_id": n,
                "category_id": categories[(k + i) % len(categories)]["id"],
                "bbox": [4 + k + 20 * i, 5, 12, 10 + k % 5],
                "area": 12 * (10 + k % 5),
                "iscrowd": 0,
            }
            for k, n in enumerate(numbers)
            for i in range(2)
        ],
        "categories": categories,
    }


def write(folder: Path, content: dict, name: str = "val.json") -> Path:
    """The annotation file and its images, grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in content["images"]:
        size = image["height"], image["width"], 3
        Image.fromarray(np.full(size, 128, np.uint8)).save(folder / image["file_name"])
    (folder / name).write_text(json.dumps(content))
    return folder / name


def dataset(file: Path, classes=CLASSES, **settings) -> dict:
    return dict(
        type="dense3d.CocoDataset",
        data_root=str(file.parent),
        ann_file=file.name,
        data_prefix=dict(img=""),
        metainfo=dict(classes=classes),
        test_mode=True,
        pipeline=[
            dict(type="mmdet.LoadImageFromFile"),
            dict(type="mmdet.LoadAnnotations", with_bbox=True),
            dict(type="mmdet.PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape")),
        ],
        **settings,
    )


def loader(data: dict) -> dict:
    sampler = dict(type="DefaultSampler", shuffle=False)
    return dict(batch_size=2, num_workers=0, sampler=sampler, dataset=data)


def runner(folder: Path, evaluated: dict, evaluator, trained: dict | None = None, **settings) -> Runner:
    """A run that validates ``evaluated`` with a perfect model, and could train on ``trained``."""
    training = {}
    if trained is not None:
        training = dict(
            train_dataloader=loader(trained),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        )
    cfg = dict(
        model=dict(type="PerfectDetector"),
        work_dir=str(folder / "work"),
        default_scope="dense3d",
        val_dataloader=loader(evaluated),
        val_cfg=dict(),
        val_evaluator=evaluator,
        **training,
    )
    return Runner.from_cfg(Config({**cfg, **settings}))
