"""Golden checks of the target encoding and of the decoding of MonoDETR and MonoDINO-DETR."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dense3d.datasets.kitti.mono_targets import encode_mono_targets, seen_objects
from dense3d.datasets.kitti.objects import ALPHA, KittiObjects, parse_objects
from dense3d.datasets.kitti.warp import ImageWarp, draw_warp
from dense3d.detection3d.monodino_detr.boxes import centred_boxes
from dense3d.detection3d.monodino_detr.decoding import PixelMap, TopQueries, decode_frame, top_queries
from dense3d.detection3d.monodino_detr.heads import Predictions
from dense3d.structures.kitti_calibration import KittiCalibration

Arrays = dict[str, np.ndarray]
CLASSES = ("Pedestrian", "Car", "Cyclist")  # the official ids
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
TARGET_SIZE = (1280, 384)


def run_decode(tensors: dict[str, Tensor]) -> Arrays:
    """The best queries, their boxes in numbers and as lines of a result file."""
    names = ("pred_logits", "pred_boxes", "pred_3d_dim", "pred_angle", "pred_depth")
    top = top_queries(Predictions(*(tensors[name] for name in names)), int(tensors["topk"]))
    found = {"dets": _detections(top).numpy()}
    for image, (P2, size) in enumerate(zip(tensors["P2"].double().numpy(), tensors["img_sizes"].numpy())):
        threshold = float(tensors["threshold"])
        objects = decode_frame(top, image, P2, PixelMap.stretched(size), CLASSES, threshold)
        labels = [CLASSES.index(name) for name in objects.names]
        found[f"rows{image}"] = np.column_stack([labels, objects.values[:, ALPHA:]])
        found[f"lines{image}"] = np.array(_lines(objects))
    return found


def _detections(top: TopQueries) -> Tensor:
    """``(B, K, 37)`` as the official code lists them."""
    centres, sizes = centred_boxes(top.boxes).split(2, dim=-1)
    label, score = top.labels[..., None].float(), top.scores[..., None]
    depth, deviation = top.depths.split(1, dim=-1)
    parts = (label, score, centres, sizes, depth, top.headings, top.sizes, top.boxes[..., :2])
    return torch.cat((*parts, torch.exp(-deviation)), dim=-1)


def _lines(objects: KittiObjects) -> list[str]:
    """Lines with two decimals, as the official code writes them."""
    numbers = [" ".join(f"{value:.2f}" for value in row[ALPHA:]) for row in objects.values]
    return [f"{name} 0.0 0 {values}" for name, values in zip(objects.names, numbers)]


def run_targets(inputs: Arrays) -> Arrays:
    """One sample through the data pipeline; rows follow the label lines."""
    matrices = KittiCalibration.pinhole(1.0, (0.0, 0.0)).matrices() | {"P2": inputs["P2"]}
    calibration = KittiCalibration(**matrices)
    objects = parse_objects("\n".join(map(str, inputs["labels"])))
    warp = _warp(inputs)
    written = [name if name in map(str, inputs["writelist"]) else "" for name in CLASSES]
    targets = encode_mono_targets(objects, calibration, warp, written)
    # The official code writes the label before it finds that the 2D box does not hold the 3D centre.
    seen, classes, _ = seen_objects(objects, calibration, warp, written)
    number, rows = len(objects), targets.rows
    columns = dict(depth=targets.depth, heading_bin=targets.heading_bin, heading_res=targets.heading_residual)
    found = {
        "P2_out": calibration.P2,
        "image": ((warp.move_image(inputs["image"]) / 255 - MEAN) / STD).transpose(2, 0, 1),
        "mask_2d": np.isin(np.arange(number), rows),
        "labels": np.where(seen, classes, 0),
    }
    values = {name: getattr(targets, name) for name in ("boxes", "boxes_3d", "size_3d")}
    values |= {name: column[:, None] for name, column in columns.items()}
    values["calibs"] = np.broadcast_to(calibration.P2, (len(rows), 3, 4))
    for name, value in values.items():
        found[name] = np.zeros((number, *value.shape[1:]), value.dtype)
        found[name][rows] = value
    return found


def _warp(inputs: Arrays) -> ImageWarp:
    size = inputs["image"].shape[1::-1]
    if not inputs["train"]:
        return ImageWarp(size, TARGET_SIZE)
    uniform, normal = iter(inputs["uniform_draws"]), iter(inputs["normal_draws"])
    return draw_warp(size, TARGET_SIZE, lambda: next(uniform), lambda: next(normal))
