"""Golden checks around MonoDETR and MonoDINO-DETR: losses, targets and decoding."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.datasets.kitti import KittiObjects, parse_objects
from dense3d.datasets.kitti.mono_targets import encode_mono_targets, seen_objects
from dense3d.datasets.kitti.objects import ALPHA
from dense3d.datasets.kitti.warp import ImageWarp, draw_warp
from dense3d.detection3d.monodino_detr import (
    MonoCriterion,
    ObjectTargets,
    Predictions,
    decode_frame,
    top_queries,
)
from dense3d.detection3d.monodino_detr.criterion import paint_depth
from dense3d.detection3d.monodino_detr.depth import bin_index
from dense3d.detection3d.monodino_detr.prediction import PixelMap, TopQueries, centred_boxes
from dense3d.layers import MatchedPairs
from dense3d.structures import KittiCalibration
from tests.golden.checks import Arrays

GROUPS = 11  # of the official code
# The official loss of the depth map has these numbers whatever the config says.
BINS = dict(num_bins=80, depth_min=1e-3, depth_max=60.0)
# arguments of matcher and criterion
LOSSES = (
    "cls_loss_coef",
    "bbox_loss_coef",
    "giou_loss_coef",
    "3dcenter_loss_coef",
    "dim_loss_coef",
    "angle_loss_coef",
    "depth_loss_coef",
    "depth_map_loss_coef",
    "set_cost_class",
    "set_cost_bbox",
    "set_cost_giou",
    "set_cost_3dcenter",
    "focal_alpha",
)
TARGETS = dict(
    labels="labels",
    boxes="boxes",
    boxes_3d="boxes_3d",
    depth="depth",
    size_3d="size_3d",
    heading_bin="heading_bin",
    heading_residual="heading_res",
)


def run_losses(config: dict, tensors: dict[str, Tensor], check: dict) -> dict[str, Tensor]:
    """Unweighted losses, their weighted sum, matches of the last layer and targets of the depth map."""
    criterion, official = build_criterion(config)
    groups = GROUPS if "groups" in check["name"] else 1
    targets = ObjectTargets.of([_instances(tensors, image) for image in range(_number(tensors))])
    layers = [*_layers(tensors, groups)]
    logits = tensors["pred_depth_map_logits"]
    losses = criterion(layers, logits, targets, groups)
    painted, _ = paint_depth(targets, logits.shape[-2:])
    last = layers[-1]
    found = losses | _matches(criterion.matcher(last.logits, last.boxes, targets, groups), targets)
    names = {name: re.fullmatch(r"loss_(.+?)(?:_\d+)?", name) for name in losses}
    found["total_weighted"] = sum(losses[n] * official[m[1]] for n, m in names.items() if m)
    found |= {"depth_map_target": painted, "depth_map_bin": bin_index(painted, **BINS)}
    for index, layer in enumerate(layers):
        suffix = "" if index + 1 == len(layers) else f"_{index}"
        found[f"cardinality_error{suffix}"] = _cardinality_error(layer.logits, targets)
    return found


def build_criterion(config: dict) -> tuple[MonoCriterion, dict[str, float]]:
    """A criterion whose weights are all 1, and the kit's weights."""
    weights = dict(
        ce=config["cls_loss_coef"],
        bbox=config["bbox_loss_coef"],
        giou=config["giou_loss_coef"],
        center=config["3dcenter_loss_coef"],
        dim=config["dim_loss_coef"],
        angle=config["angle_loss_coef"],
        depth=config["depth_loss_coef"],
        depth_map=config["depth_map_loss_coef"],
    )
    matcher = dict(
        cost_class=config["set_cost_class"],
        cost_bbox=config["set_cost_bbox"],
        cost_giou=config["set_cost_giou"],
        cost_center=config["set_cost_3dcenter"],
    )
    neutral = dict.fromkeys(weights, 1.0)
    return MonoCriterion(neutral, alpha=config["focal_alpha"], matcher=matcher, depth_map=BINS), weights


def _number(tensors: dict[str, Tensor]) -> int:
    return sum(re.fullmatch(r"target\d+_labels", name) is not None for name in tensors)


def _instances(tensors: dict[str, Tensor], image: int) -> SimpleNamespace:
    values = {ours: tensors[f"target{image}_{theirs}"] for ours, theirs in TARGETS.items()}
    for name in ("depth", "heading_bin", "heading_residual"):
        values[name] = values[name].flatten()
    return SimpleNamespace(**values)


def _layers(tensors: dict[str, Tensor], groups: int):
    """Predictions of the earlier layers by number, then of the last one."""
    numbers = sorted({int(m[1]) for m in map(re.compile(r"aux(\d+)_.+").fullmatch, tensors) if m})
    for prefix in (*(f"aux{number}_" for number in numbers), ""):
        names = ("pred_logits", "pred_boxes", "pred_3d_dim", "pred_angle", "pred_depth")
        yield Predictions(*(tensors[f"{prefix}{name}"] for name in names))


def _matches(matches: MatchedPairs, targets: ObjectTargets) -> dict[str, Tensor]:
    found = {}
    for image in range(len(targets.counts)):
        here = matches.image == image
        found[f"match{image}_query"] = matches.query[here]
        found[f"match{image}_target"] = matches.target[here]
    return found


def _cardinality_error(logits: Tensor, targets: ObjectTargets) -> Tensor:
    """DETR's figure: by how much the number of queries whose last class is not the strongest is off."""
    counted = (logits.argmax(-1) != logits.shape[-1] - 1).sum(1).float()
    return F.l1_loss(counted, torch.tensor(targets.counts, dtype=torch.float32))


CLASSES = ("Pedestrian", "Car", "Cyclist")  # the official ids
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
TARGET_SIZE = (1280, 384)


def run_decode(tensors: dict[str, Tensor]) -> dict[str, Tensor | np.ndarray]:
    """The best queries, their boxes in numbers and as lines of a result file."""
    names = ("pred_logits", "pred_boxes", "pred_3d_dim", "pred_angle", "pred_depth")
    top = top_queries(Predictions(*(tensors[name] for name in names)), int(tensors["topk"]))
    found: dict[str, Tensor | np.ndarray] = {"dets": _detections(top)}
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
