"""Golden checks of the losses of MonoDETR and MonoDINO-DETR."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.detection3d.monodino_detr.bins import bin_index
from dense3d.detection3d.monodino_detr.criterion import MonoCriterion
from dense3d.detection3d.monodino_detr.depth_map_loss import paint_depth
from dense3d.detection3d.monodino_detr.heads import Predictions
from dense3d.detection3d.monodino_detr.targets import Targets
from dense3d.layers.assignment import MatchedPairs

Arrays = dict[str, np.ndarray]
GROUPS = 11  # of the official code
# The official loss of the depth map has these numbers whatever the config says.
BINS = dict(num_bins=80, depth_min=1e-3, depth_max=60.0)
TARGETS = dict(
    labels="labels",
    boxes="boxes",
    boxes_3d="boxes_3d",
    depth="depth",
    size_3d="size_3d",
    heading_bin="heading_bin",
    heading_residual="heading_res",
)


def run_losses(config: dict, tensors: dict[str, Tensor], check: dict) -> Arrays:
    """Unweighted losses, their weighted sum, matches of the last layer and targets of the depth map."""
    criterion, official = build_criterion(config)
    groups = GROUPS if "groups" in check["name"] else 1
    targets = Targets.of([_instances(tensors, image) for image in range(_number(tensors))])
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
    return {name: tensor.numpy() for name, tensor in found.items()}


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


def _matches(matches: MatchedPairs, targets: Targets) -> dict[str, Tensor]:
    found = {}
    for image in range(len(targets.counts)):
        here = matches.image == image
        found[f"match{image}_query"] = matches.query[here]
        found[f"match{image}_target"] = matches.target[here]
    return found


def _cardinality_error(logits: Tensor, targets: Targets) -> Tensor:
    """DETR's figure: by how much the number of queries whose last class is not the strongest is off."""
    counted = (logits.argmax(-1) != logits.shape[-1] - 1).sum(1).float()
    return F.l1_loss(counted, torch.tensor(targets.counts, dtype=torch.float32))
