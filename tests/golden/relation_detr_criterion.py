"""Golden checks of Relation-DETR's matching and losses."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.detection2d.relation_detr.criterion import SetCriterion
from dense3d.detection2d.relation_detr.denoising import DenoisingQueries
from dense3d.detection2d.relation_detr.losses import TrainingLosses
from dense3d.detection2d.relation_detr.matching import Targets
from dense3d.layers.assignment import MatchedPairs
from tests.golden import UnknownCheckError

Arrays = dict[str, np.ndarray]
UNWEIGHTED = dict(loss_class_weight=1.0, loss_bbox_weight=1.0, loss_giou_weight=1.0)


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Matcher and criterion of the kit's ``config``; there are no weights."""
    config = kit.meta["config"]
    matcher = dict(
        cost_class=config["cost_class"],
        cost_bbox=config["cost_bbox"],
        cost_giou=config["cost_giou"],
        alpha=config["focal_alpha"],
        gamma=config["focal_gamma"],
    )

    def run(check: dict, inputs: Arrays) -> Arrays:
        name = check["name"]
        tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
        class_loss = "focal" if name.startswith("focal") else "varifocal"
        criterion = SetCriterion(class_loss, config["alpha"], config["gamma"], matcher=matcher, **UNWEIGHTED)
        if "pred_boxes" in tensors:
            return _matcher(criterion, **tensors)
        if "last.logits" not in tensors:
            raise UnknownCheckError(f"there is no rule for the check {name!r} of the criterion")
        stored = kit.outputs(name)
        copies = _copies(check, config) if name.startswith("hybrid") else 1
        found = Predictions(criterion, tensors).results(copies)
        return {key: _same_copy(found, stored, key, tensors) for key in check["outputs"] if key in found}

    return run


def _matcher(
    criterion: SetCriterion, pred_boxes: Tensor, pred_logits: Tensor, gt_boxes: Tensor, gt_labels: Tensor
) -> Arrays:
    logits, boxes = pred_logits[None, None], pred_boxes[None, None]
    targets = Targets.of([gt_labels], [gt_boxes])
    matcher = criterion.matcher
    costs = [cost[0, 0] for cost in matcher.costs(logits, boxes, targets)]
    weights = (matcher.cost_class, matcher.cost_bbox, matcher.cost_giou)
    matches = matcher(logits, boxes, targets)
    found = dict(zip(("cost_class", "cost_bbox", "cost_giou"), costs))
    found["cost"] = sum(weight * cost for weight, cost in zip(weights, costs))
    found |= {"pred_index": matches.query, "gt_index": matches.target}
    return {name: tensor.numpy() for name, tensor in found.items()}


def _copies(check: dict, config: dict) -> int:
    """How often a hybrid check assigns each target: as its note or the config says, else as the paper."""
    stated = re.search(r"repeated (\d+) times", check.get("note", ""))
    return int(stated[1]) if stated else config.get("hybrid_assign", 6)


def _same_copy(found: Arrays, stored: Arrays, key: str, tensors: dict[str, Tensor]) -> np.ndarray:
    """Copies of a target are interchangeable: name the one that the kit names."""
    match = re.fullmatch(r"match\..+\.(\d+)", key)
    if match is None or found[key].shape != stored[key].shape or not found[key].size:
        return found[key]
    number = len(tensors[f"labels{match[1]}"])
    query, target = found[key]
    return np.stack((query, target + stored[key][1] // number * number))


class Predictions:
    """Predictions (``last.logits``, ``last.boxes``, ``aux0`` ..., ``enc``) and targets of a check."""

    def __init__(self, criterion: SetCriterion, tensors: dict[str, Tensor]) -> None:
        self.criterion = criterion
        self.tensors = tensors
        images = sum(re.fullmatch(r"labels\d+", name) is not None for name in tensors)
        labels, boxes = ([tensors[f"{kind}{i}"] for i in range(images)] for kind in ("labels", "boxes"))
        self.targets = Targets.of(labels, boxes)
        layers = sum(re.fullmatch(r"aux\d+\.logits", name) is not None for name in tensors)
        self.layers = [f"aux{i}" for i in range(layers)] + ["last"]

    def results(self, copies: int) -> Arrays:
        """Losses, matches, and gradients of the plain sum of all losses."""
        leaves = {n: t.requires_grad_() for n, t in self.tensors.items() if n.endswith((".logits", ".boxes"))}
        if "groups" in self.tensors:
            losses, found = self._denoising(), {}
        else:
            losses, found = self._matched(copies)
        gradients = torch.autograd.grad(sum(losses.values()), list(leaves.values()), allow_unused=True)
        found |= {f"grad.{n}": g.numpy() for n, g in zip(leaves, gradients) if g is not None}
        return found | {f"loss.{name}": loss.detach().numpy() for name, loss in losses.items()}

    def _stack(self, kind: str, names: list[str]) -> Tensor:
        return torch.stack([self.tensors[f"{name}.{kind}"] for name in names])

    def _matched(self, copies: int) -> tuple[dict[str, Tensor], Arrays]:
        divisor = max(1, sum(self.targets.counts) * copies)
        groups = [(self.layers, [*(f"_{i}" for i in range(len(self.layers) - 1)), ""])]
        if "enc.logits" in self.tensors:
            groups.append((["enc"], ["_enc"]))
        losses, found = {}, {}
        for names, suffixes in groups:
            logits, boxes = self._stack("logits", names), self._stack("boxes", names)
            matches = self.criterion.matcher(logits, boxes, self.targets, copies)
            for kind, values in self.criterion(logits, boxes, self.targets, matches, divisor).items():
                losses |= {f"loss_{kind}{suffix}": value for suffix, value in zip(suffixes, values)}
            found |= self._named_matches(matches, names)
        return losses, found

    def _named_matches(self, matches: MatchedPairs, names: list[str]) -> Arrays:
        found = {}
        for layer, name in enumerate(names):
            for image in range(len(self.targets.counts)):
                here = (matches.layer == layer) & (matches.image == image)
                pairs = torch.stack((matches.query[here], matches.target[here]))
                found[f"match.{name}.{image}"] = pairs.numpy()
        return found

    def _denoising(self) -> dict[str, Tensor]:
        logits, boxes = self._stack("logits", self.layers), self._stack("boxes", self.layers)
        groups, slots = int(self.tensors["groups"]), int(self.tensors["max_gt"]) // 2
        queries = DenoisingQueries(logits[0], boxes[0], groups, slots)
        divisor = max(1, sum(self.targets.counts)) * groups
        return TrainingLosses(self.criterion, 1).denoising(logits, boxes, queries, self.targets, divisor)
