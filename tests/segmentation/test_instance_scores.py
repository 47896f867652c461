"""AP of the things in panoptic results, as the configs of COCO panoptic ask for it."""

from __future__ import annotations

import json

import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from pycocotools import mask as rle

from dense3d.datasets.panoptic.dataset import CocoPanopticDataset
from dense3d.segmentation import top_instances

SIZE = (32, 48)


def masks() -> torch.Tensor:
    """Three boxes ``(3, H, W)``."""
    found = torch.zeros(3, *SIZE, dtype=torch.bool)
    found[0, 2:12, 2:20], found[1, 14:30, 4:24], found[2, 4:28, 26:46] = True, True, True
    return found


def annotations(path, labels: list[int]) -> str:
    """A file of instances with COCO's 80 things and gaps between their ids."""
    names = CocoDataset.METAINFO["classes"]
    coded = [rle.encode(np.asfortranarray(mask.numpy().astype(np.uint8))) for mask in masks()]
    document = {
        "images": [{"id": 7, "height": SIZE[0], "width": SIZE[1], "file_name": "7.jpg"}],
        "categories": [{"id": 3 * i + 1, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {
                "id": i + 1,
                "image_id": 7,
                "category_id": 3 * label + 1,
                "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
                "bbox": rle.toBbox(code).tolist(),
                "area": float(rle.area(code)),
                "iscrowd": 0,
            }
            for i, (label, code) in enumerate(zip(labels, coded))
        ],
    }
    path.write_text(json.dumps(document))
    return str(path)


def average_precision(path: str, labels: list[int]) -> float:
    """Of results with the file's masks and these labels among 133 classes, and a query of stuff."""
    logits = torch.full((4, 134), -20.0)
    for query, label in enumerate([*labels, 120]):
        logits[query, label] = 20.0
    shares = torch.cat((masks(), ~masks().any(0, keepdim=True))).float()
    found = top_instances(logits, shares, shares > 0.5, 4, classes=range(80))
    metric = CocoMetric(ann_file=path, metric="segm")
    metric.dataset_meta = CocoPanopticDataset.METAINFO
    sample = {"img_id": 7, "ori_shape": SIZE, "pred_instances": found}
    metric.process({}, [sample])
    return metric.evaluate(1)["coco/segm_mAP"]


def test_labels_of_things_are_categories_of_the_instance_file(tmp_path):
    labels = [0, 5, 79]
    path = annotations(tmp_path / "instances.json", labels)
    assert average_precision(path, labels) == 1.0
    assert average_precision(path, [1, 6, 78]) == 0.0
