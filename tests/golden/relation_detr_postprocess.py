"""Golden checks around Relation-DETR: detections from predictions, resizing, padding."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from mmengine.model import stack_batch
from torch import Tensor

from dense3d.detection2d.relation_detr.evaluation_resize import evaluation_resize, evaluation_size
from dense3d.detection2d.relation_detr.postprocess import keep_best, top_detections
from dense3d.detection2d.relation_detr.references import padding_masks
from tests.golden import UnknownCheckError

Arrays = dict[str, np.ndarray]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """There are no weights; ``select`` of the config is the number of detections."""
    number = kit.meta["config"]["select"]

    def run(check: dict, inputs: Arrays) -> Arrays:
        tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}
        if "logits" in tensors:
            found = _detections(check, number, **tensors)
        elif "image0" in tensors:
            found = _padding(check, tensors)
        elif "sizes" in tensors:
            limits = int(tensors["min_size"]), int(tensors["max_size"])
            sizes = [evaluation_size(*size, *limits) for size in tensors["sizes"].tolist()]
            found = {"sizes": torch.tensor(sizes)}
        elif "image" in tensors:
            resized = evaluation_resize(tensors["image"], int(tensors["min_size"]), int(tensors["max_size"]))
            found = {"resized": resized, "normalised": normalise(resized)}
        else:
            raise UnknownCheckError(f"there is no rule for the check {check['name']!r} around Relation-DETR")
        return {name: found[name].numpy() for name in check["outputs"] if name in found}

    return run


def normalise(image: Tensor) -> Tensor:
    """uint8 image ``(3, H, W)``, or a float one in [0, 1], with ImageNet's mean and deviation taken out."""
    image = image.float() / 255 if image.dtype == torch.uint8 else image
    return (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def _detections(check: dict, number: int, logits: Tensor, boxes: Tensor, sizes: Tensor) -> dict[str, Tensor]:
    scores, labels, corners = top_detections(logits, boxes, number)
    corners = corners * sizes.flip(1).repeat(1, 2)[:, None]
    if "scores" in check["outputs"]:
        return {"scores": scores, "labels": labels, "boxes": corners}
    threshold, iou = (re.search(p, check["note"]) for p in (r"threshold ([\d.]+)", r"IoU ([\d.]+)"))
    found = {}
    for image in range(len(logits)):
        kept = keep_best(
            scores[image],
            corners[image],
            float(threshold[1].rstrip(".")) if threshold else 0.0,
            float(iou[1].rstrip(".")) if iou else None,
        )
        for name, tensor in (("scores", scores), ("labels", labels), ("boxes", corners)):
            found[f"{name}{image}"] = tensor[image][kept]
    return found


def _padding(check: dict, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    images = [tensors[f"image{i}"] for i in range(len(tensors))]
    height, width = stack_batch(images, pad_size_divisor=32).shape[-2:]
    levels = sorted(name for name in check["outputs"] if re.fullmatch(r"mask\d+", name))
    stated = re.search(r"strides ([\d, ]+)", check.get("note", ""))
    strides = re.findall(r"\d+", stated[1]) if stated else [8 * 2**i for i in range(len(levels))]
    shapes = [(height, width)] + [(-(-height // int(s)), -(-width // int(s))) for s in strides]
    sizes = [tuple(image.shape[-2:]) for image in images]
    masks = padding_masks((height, width), sizes, shapes, torch.device("cpu"))
    return dict(zip(["mask", *levels], masks))
