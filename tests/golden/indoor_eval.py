"""Golden adapter of the evaluation of indoor detectors (system ``indoor-eval``).

A check follows from the beginning of its name: ``ap`` compares average precisions of scenes, ``iou`` overlaps
of all pairs, ``nms`` what suppression keeps. Boxes are centre, full sizes and a clockwise heading; those of
``nms`` two opposite corners.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d import ops
from dense3d.detection3d.box_decoding import BoxDecoder
from dense3d.detection3d.threedetr.overlap import generalised_iou
from dense3d.evaluation.boxes3d import SceneBoxes
from dense3d.evaluation.boxes3d.protocols import IndoorProtocol
from dense3d.ops.rotated3d import FOOTPRINT
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted
from tests.golden.indoor_boxes import corners_of
from tests.golden.kit import GoldenKit

# official names of suppressions -> ours
SUPPRESSIONS = {"2d": "2d", "3d": "3d", "3d_cls": "class"}
NEVER = -1  # of a class that does not occur


def open_kit(kit: GoldenKit) -> Run:
    """A runner with the number of classes and the thresholds of the kit's config."""
    classes = tuple(map(str, range(kit.options.take("num_class", 1))))
    thresholds = tuple(kit.options.take("iou_thresholds", (0.25, 0.5)))
    limit = float(kit.options.take("nms_iou", 0.25))
    rules: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
        "ap": lambda inputs: _average_precision(inputs, classes, thresholds),
        "iou": _overlaps,
        "nms": lambda inputs: _suppressed(inputs, limit),
    }

    def run(check: dict, inputs: Arrays) -> Arrays:
        kind = check["name"].partition("_")[0]
        if kind not in rules:
            raise UnknownCheckError(f"no rule for the check {check['name']!r}; known are {', '.join(rules)}")
        return wanted(check, rules[kind](tensors_of_inputs(inputs)))

    return run


def _world(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[..., :6], -boxes[..., 6:]], dim=-1)


def _average_precision(
    inputs: dict[str, Tensor], classes: tuple[str, ...], thresholds: tuple[float, ...]
) -> dict[str, Tensor]:
    numbers = torch.cat([inputs["gt_scene"], inputs["pred_scene"]])
    scenes = tuple(map(str, range(1 + int(numbers.max()) if len(numbers) else 1)))
    truth, found = (
        SceneBoxes(
            scenes,
            classes,
            inputs[f"{kind}_scene"].numpy(),
            _world(inputs[f"{kind}_boxes"]).numpy(),
            inputs[f"{kind}_cls"].numpy(),
            inputs["pred_score"].numpy() if kind == "pred" else None,
        )
        for kind in ("gt", "pred")
    )
    result = IndoorProtocol("kit", classes, thresholds).evaluate(truth, found)
    produced = {}
    for t, threshold in enumerate(thresholds):
        name = f"{100 * threshold:g}"
        for key, values in (("ap", result.figures.average_precision), ("recall", result.figures.recall)):
            produced[key + name] = torch.from_numpy(np.where(np.isnan(values[t]), NEVER, values[t]))
        produced[f"map{name}"] = torch.tensor(result.means[f"AP{name}"])
        produced[f"ar{name}"] = torch.tensor(result.means[f"AR{name}"])
    return produced


def _overlaps(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    boxes1, boxes2 = _world(inputs["boxes1"]), _world(inputs["boxes2"])
    rotated = bool((inputs["boxes1"][:, 6] != 0).any() or (inputs["boxes2"][:, 6] != 0).any())
    return {
        "corners1": corners_of(boxes1),
        "iou3d": ops.box_iou_3d(boxes1, boxes2),
        "iou_bev": ops.box_iou_rotated(boxes1[:, FOOTPRINT], boxes2[:, FOOTPRINT]),
        "giou_3detr": generalised_iou(boxes1[:, None], boxes2[None], rotated),
    }


def _suppressed(inputs: dict[str, Tensor], limit: float) -> dict[str, Tensor]:
    low, high = inputs["boxes"][:, :3], inputs["boxes"][:, 3:]
    boxes = torch.cat([(low + high) / 2, high - low, torch.zeros_like(low[:, :1])], dim=1)
    scores, labels = inputs["score"], inputs["cls"]
    probabilities = torch.nn.functional.one_hot(labels).to(scores)
    produced = {}
    for name, suppression in SUPPRESSIONS.items():
        for ending, over_own in (("", False), ("_old", True)):
            decoder = BoxDecoder(
                min_points=0, suppression=suppression, iou_threshold=limit, over_own=over_own
            )
            kept = decoder.kept(boxes, scores, probabilities).nonzero().flatten()
            produced[f"keep_{name}{ending}"] = kept[scores[kept].argsort(descending=True, stable=True)]
    return produced
