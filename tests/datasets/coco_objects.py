"""Objects of a small COCO file as training sees them, and their AP when they are handed back."""

from __future__ import annotations

from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from dense3d.evaluation.coco import CocoMetric
from dense3d.registry import DATASETS

CLASSES = ("disk", "box")
BOXES = [([4, 5, 24, 15], 0), ([5, 5, 25, 15], 1), ([6, 5, 26, 15], 0)]
LOAD = [dict(type="mmdet.LoadImageFromFile"), dict(type="mmdet.PackDetInputs")]
MASKS = [
    dict(type="mmdet.LoadImageFromFile"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="mmdet.PackDetInputs"),
]


def build(tiny, **settings):
    return DATASETS.build(tiny.dataset_cfg(**settings))


def objects(dataset) -> list[tuple[list[float], int]]:
    """Boxes [x0, y0, x1, y1] and labels that are learned."""
    loader = DataLoader(dataset, collate_fn=pseudo_collate)
    samples = [sample.gt_instances for batch in loader for sample in batch["data_samples"]]
    return [
        (box, label)
        for instances in samples
        for box, label in zip(instances.bboxes.tensor.tolist(), instances.labels.tolist())
    ]


def perfect(tiny, metric: str = "bbox", classes=CLASSES) -> float:
    """AP of the validation data's own objects, handed back as predictions."""
    steps = MASKS if metric == "segm" else tiny.dataset_cfg()["pipeline"]
    dataset = build(tiny, test_mode=True, pipeline=steps, metainfo=dict(classes=classes))
    evaluator = CocoMetric(ann_file=str(tiny.annotation_file), metric=metric)
    evaluator.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        sample = dataset[index]["data_samples"]
        truth = sample.gt_instances
        found = dict(bboxes=truth.bboxes.tensor, labels=truth.labels, scores=truth.labels * 0 + 0.9)
        if metric == "segm":
            found["masks"] = truth.masks.to_tensor(bool, "cpu")
        evaluator.process({}, [{**sample.metainfo, "pred_instances": found}])
    return evaluator.evaluate(len(dataset))[f"coco/{metric}_mAP"]
