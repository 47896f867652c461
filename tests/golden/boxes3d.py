"""Golden adapter of overlaps of 3D boxes (systems ``rotated-iou``, ``obb-iou3d``).

The first has KITTI's boxes ``(x, y, z, h, w, l, ry)`` in the camera frame; a check whose name begins with
``matrix`` compares all pairs, any other row by row, and both the compiled and the torch version run. The
second has boxes ``(x, y, z, w, l, h, theta)`` with z up, the width along x; what a check is follows from its
name up to the first dot, and for suppression from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d import ops
from dense3d.detection3d.nerf_rpn.box_codes import decode_at, encode_at
from dense3d.evaluation.boxes3d import SceneBoxes
from dense3d.evaluation.boxes3d.average_precision import first_takers, match
from dense3d.evaluation.boxes3d.proposals import ProposalProtocol, cover
from dense3d.ops.rotated3d import FOOTPRINT
from dense3d.structures import Boxes3D, boxes_of_corners
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted

Tensors = dict[str, Tensor]
TOLERANCE = 1e-9
FLAT = 1e-4  # voxels


def open_camera(_kit) -> Run:
    """There are no weights: every check stands alone."""
    return _camera


def _camera(check: dict, inputs: Arrays) -> Arrays:
    if not {"boxes_a", "boxes_b"} <= set(inputs):
        raise UnknownCheckError(f"no rule for the inputs {', '.join(inputs)} of {check['name']!r}")
    first, second = (Boxes3D(torch.from_numpy(inputs[key]), "camera") for key in ("boxes_a", "boxes_b"))
    a, b = first.to_world().tensor, second.to_world().tensor
    aligned = not check["name"].startswith("matrix")
    rectangles = a[:, FOOTPRINT], b[:, FOOTPRINT]
    area = first.length * first.width
    over_first = _both(ops.box_iou_rotated, ops.box_iou_rotated_reference, *rectangles, "iof", aligned)
    produced = {
        "bev_iou": _both(ops.box_iou_rotated, ops.box_iou_rotated_reference, *rectangles, "iou", aligned),
        "bev_iof_first": over_first,
        "bev_inter": over_first * (area if aligned else area[:, None]),
        "iou3d": _both(ops.box_iou_3d, ops.box_iou_3d_reference, a, b, "iou", aligned),
        "corners_first_xz": first.footprint_corners(),
    }
    return wanted(check, produced)


def _both(fast: Callable, reference: Callable, *arguments) -> torch.Tensor:
    result, truth = fast(*arguments), reference(*arguments)
    difference = (result - truth).abs().max().item() if result.numel() else 0.0
    if difference > TOLERANCE:
        raise ValueError(f"{fast.__name__} and its reference differ by {difference:g}")
    return result


def open_world(kit) -> Run:
    """A runner; where the official values are wrong, the kit says which are to be compared."""

    def run(check: dict, inputs: Arrays) -> Arrays:
        kind = check["name"].split(".")[0]
        tensors = tensors_of_inputs(inputs)
        if kind == "degenerate_official":
            return _official(tensors, kit.outputs(check["name"]), check)
        if kind.startswith("nms"):
            return wanted(check, _nms(tensors))
        if kind not in CHECKS:
            raise UnknownCheckError(f"no rule for the check {check['name']!r}; known are {', '.join(CHECKS)}")
        produced = wanted(check, CHECKS[kind](tensors))
        return _without_noise(produced, kit.outputs(check["name"])) if kind == "midpoint_coder" else produced

    return run


def _pairs(inputs: Tensors) -> Tensors:
    boxes1, boxes2 = inputs["boxes1"], inputs["boxes2"]
    iou = ops.box_iou_3d(boxes1, boxes2, aligned=True)
    volumes = Boxes3D(boxes1, "world").volume + Boxes3D(boxes2, "world").volume
    return {
        "iou": iou,
        "union": volumes / (1 + iou),
        "giou_loss": ops.box_iou_3d_loss(boxes1, boxes2, "giou"),
        "diou_loss": ops.box_iou_3d_loss(boxes1, boxes2, "diou"),
    }


def _degenerate(inputs: Tensors) -> Tensors:
    """Our overlap of two boxes without volume is 0; the kit's is not defined."""
    boxes1, boxes2 = inputs["boxes1"], inputs["boxes2"]
    volumes = Boxes3D(boxes1, "world").volume + Boxes3D(boxes2, "world").volume
    iou = ops.box_iou_3d(boxes1, boxes2, aligned=True)
    return {"iou_exact": torch.where(volumes == 0, torch.nan, iou)}


def _official(inputs: Tensors, stored: Arrays, check: dict) -> Arrays:
    """Whether the official values agree with ours, which are compared where they do."""
    iou = _degenerate(inputs)["iou_exact"].numpy()
    official = stored["iou"]
    agrees = np.abs(iou - official) <= check["atol"] + check["rtol"] * np.abs(iou)
    return {"iou": np.where(agrees, iou, official), "agrees_with_exact": agrees}


def _matrix(inputs: Tensors) -> Tensors:
    return {"iou": ops.box_iou_3d(inputs["boxes1"], inputs["boxes2"])}


def _matrix_aabb(inputs: Tensors) -> Tensors:
    return {"iou": ops.box_iou_3d(*(boxes_of_corners(inputs[name]) for name in ("boxes1", "boxes2")))}


def _corners(inputs: Tensors) -> Tensors:
    return {"corners": Boxes3D(inputs["boxes"], "world").footprint_corners()}


def _nms(inputs: Tensors) -> Tensors:
    threshold = inputs["iou_threshold"].item()
    return {"keep": ops.nms_3d(inputs["boxes"], inputs["scores"], threshold)}


def _midpoint_coder(inputs: Tensors) -> Tensors:
    """Codes of the anchor-free head."""
    locations = inputs["locations"]
    encoded = encode_at(locations, inputs["boxes"])
    decoded_raw = decode_at(locations, inputs["raw"])
    return {"encoded": encoded, "decoded": decode_at(locations, encoded), "decoded_raw": decoded_raw}


def _without_noise(produced: Arrays, stored: Arrays) -> Arrays:
    """Boxes of no extent along their heading with the official yaw, which is rounding."""
    flat = produced["decoded_raw"][:, 3] < FLAT
    yaw = np.where(flat, stored["decoded_raw"][:, 6], produced["decoded_raw"][:, 6])
    return produced | {"decoded_raw": np.column_stack([produced["decoded_raw"][:, :6], yaw])}


def _evaluator(inputs: Tensors) -> Tensors:
    """Figures of NeRF-RPN's evaluator over all scenes, at the best 4 of each and at all."""
    count = sum(name.startswith("gt") for name in inputs)
    entries = {kind: {} for kind in ("gt", "proposals")}
    for scene in range(count):
        for kind, boxes in entries.items():
            own = inputs[f"{kind}{scene}"].numpy()
            boxes[str(scene)] = {"boxes": own, "labels": np.zeros(len(own), int)}
        entries["proposals"][str(scene)]["scores"] = inputs[f"scores{scene}"].numpy()
    truth, found = (SceneBoxes.of(boxes, ["object"]) for boxes in entries.values())
    produced = {}
    for ending, top in (("", None), ("_top4", 4)):
        result = ProposalProtocol("kit", limits=(4, len(found)), top=top).evaluate(truth, found)
        produced |= {f"ap{100 * t:g}{ending}": v for t, v in zip(result.thresholds, result.average_precision)}
    for ending, limit in (("4", 4), ("all", len(found))):
        recalls = {name.lower(): value for name, value in result.recalls[limit].items()}
        produced |= {f"{name}_{ending}": value for name, value in recalls.items()}
        produced[f"gt_overlaps_{ending}"] = cover(truth, found, limit).overlaps
    produced["ap50_confidence_sweep"] = result.auxiliary["sweep_AP50"]
    produced["precision_ap_score03"] = result.auxiliary["precision_score30"]
    matches, order = match(truth, found), np.argsort(-found.scores, kind="stable")
    hits = first_takers(matches.truth[order], matches.overlap[order] > 0.5).cumsum()
    produced |= {"recalls50": hits / len(truth), "precisions50": hits / np.arange(1, len(found) + 1)}
    return {name: torch.as_tensor(np.asarray(value)) for name, value in produced.items()}


CHECKS: dict[str, Callable[[Tensors], Tensors]] = {
    "pairs": _pairs,
    "degenerate": _degenerate,
    "matrix": _matrix,
    "matrix_aabb": _matrix_aabb,
    "corners": _corners,
    "midpoint_coder": _midpoint_coder,
    "evaluator": _evaluator,
}
