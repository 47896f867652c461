"""Golden adapter of exact overlaps of KITTI's boxes (system ``rotated-iou``).

Boxes are ``(x, y, z, h, w, l, ry)`` in the camera frame. A check whose name begins with ``matrix`` compares
all pairs, any other row by row. Both the compiled and the torch version run; they must agree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from dense3d import ops
from dense3d.ops.rotated3d import FOOTPRINT
from dense3d.structures import Boxes3D
from tests.golden import UnknownCheckError

Arrays = dict[str, np.ndarray]
TOLERANCE = 1e-9


def open_kit(_kit) -> Callable[[dict, Arrays], Arrays]:
    """There are no weights: every check stands alone."""
    return run


def run(check: dict, inputs: Arrays) -> Arrays:
    """Outputs of one check.

    Raises:
        UnknownCheckError: the inputs are others.
    """
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
    return {name: value.numpy() for name, value in produced.items() if name in check["outputs"]}


def _both(fast: Callable, reference: Callable, *arguments) -> torch.Tensor:
    result, truth = fast(*arguments), reference(*arguments)
    difference = (result - truth).abs().max().item() if result.numel() else 0.0
    if difference > TOLERANCE:
        raise ValueError(f"{fast.__name__} and its reference differ by {difference:g}")
    return result
