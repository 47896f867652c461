"""The functions of ``mmcv._ext`` that have no gradient, with the signatures that mmcv.ops calls.

Names of arguments are those of the extension; results go into the arguments where its do. Operators with
a gradient never get here: :mod:`dense3d.ops.mmcv_wrappers` exchanges their autograd functions as a whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d import ops
from dense3d.errors import OperatorUnavailableError

FOOTPRINT = (0, 1, 3, 4, 6)  # of (x, y, z, dx, dy, dz, heading)


def operator(name: str) -> Callable:
    """The function that serves ``mmcv._ext.<name>``; one that raises when dense3d has none."""
    return OPERATORS.get(name) or _unavailable(name)


def _unavailable(name: str) -> Callable:
    def raise_unavailable(*_args, **_kwargs):
        raise OperatorUnavailableError(
            f"mmcv's operator {name!r} has no implementation in dense3d and the installed mmcv has no "
            f"compiled extension that loads; install an onedl-mmcv wheel compiled for this torch, or "
            f"choose a model without it"
        )

    raise_unavailable.__name__ = name
    return raise_unavailable


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    from dense3d.ops.box_nms import nms_indices

    return nms_indices(boxes, scores, iou_threshold, offset)


def _softnms(
    boxes: Tensor, scores: Tensor, dets: Tensor, iou_threshold, sigma, min_score, method, offset
) -> Tensor:
    from dense3d.ops.box_nms import SOFT_METHODS

    found, keep = ops.soft_nms(boxes, scores, iou_threshold, sigma, min_score, SOFT_METHODS[method], offset)
    dets[: len(found)] = found
    return keep


def _nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    return [group.tolist() for group in ops.nms_match(dets, iou_threshold)]


def _nms_rotated(
    dets: Tensor, scores: Tensor, _order, _dets_sorted, _labels, iou_threshold, _multi_label
) -> Tensor:
    return ops.nms_rotated(dets[:, :5], scores, iou_threshold)[1]


def _bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    ious.copy_(ops.bbox_overlaps(bboxes1, bboxes2, _overlap_mode(mode), aligned, offset))


def _box_iou_rotated(boxes1: Tensor, boxes2: Tensor, ious: Tensor, mode_flag: int, aligned: bool) -> None:
    ious.copy_(ops.box_iou_rotated(boxes1, boxes2, _overlap_mode(mode_flag), aligned).view_as(ious))


def _overlap_mode(flag: int) -> str:
    from dense3d.ops.boxes import OVERLAP_MODES

    return OVERLAP_MODES[flag]


def _line_nms_forward(
    boxes: Tensor, scores: Tensor, thresh: float, top_k: int
) -> tuple[Tensor, Tensor, Tensor]:
    keep, parents = ops.line_nms(boxes, scores, thresh, top_k)
    padded = keep.new_zeros(len(boxes))
    padded[: len(keep)] = keep
    return padded, keep.new_tensor(len(keep)), parents


def _points_in_boxes_cpu_forward(boxes: Tensor, points: Tensor, inside: Tensor) -> None:
    inside.copy_(ops.points_in_boxes_all(points[None], boxes[None])[0].T)


def _points_in_boxes_all_forward(boxes: Tensor, points: Tensor, inside: Tensor) -> None:
    inside.copy_(ops.points_in_boxes_all(points, boxes))


def _points_in_boxes_part_forward(boxes: Tensor, points: Tensor, box_of_point: Tensor) -> None:
    box_of_point.copy_(ops.points_in_boxes_part(points, boxes))


def _iou3d_boxes_overlap_bev_forward(boxes_a: Tensor, boxes_b: Tensor, overlaps: Tensor) -> None:
    """The areas that the footprints of ``(x, y, z, dx, dy, dz, heading)`` have in common."""
    first, second = (boxes[:, list(FOOTPRINT)] for boxes in (boxes_a, boxes_b))
    areas = (first[:, 2] * first[:, 3])[:, None]
    overlaps.copy_(ops.box_iou_rotated(first, second, "iof") * areas)


def _iou3d_nms3d_forward(boxes: Tensor, keep: Tensor, num_out: Tensor, nms_overlap_thresh: float) -> None:
    """Boxes come by falling score; in spite of the name it is the footprints that are compared."""
    above = float(
        np.nextafter(np.float32(nms_overlap_thresh), np.float32(np.inf))
    )  # ours drops from there on
    falling = torch.arange(len(boxes), 0, -1, device=boxes.device)
    _put(ops.nms_rotated(boxes[:, list(FOOTPRINT)], falling, above)[1], keep, num_out)


def _iou3d_nms3d_normal_forward(
    boxes: Tensor, keep: Tensor, num_out: Tensor, nms_overlap_thresh: float
) -> None:
    """As if no box had a heading."""
    centre, half = boxes[:, :2], boxes[:, 3:5] / 2
    falling = torch.arange(len(boxes), 0, -1, device=boxes.device)
    _put(ops.nms(torch.cat([centre - half, centre + half], 1), falling, nms_overlap_thresh)[1], keep, num_out)


def _put(indices: Tensor, keep: Tensor, num_out: Tensor) -> None:
    keep[: len(indices)] = indices
    num_out.fill_(len(indices))


def _no_compiler() -> str:
    return "none (dense3d's operators)"


OPERATORS: dict[str, Callable] = {
    "bbox_overlaps": _bbox_overlaps,
    "box_iou_rotated": _box_iou_rotated,
    "get_compiler_version": _no_compiler,
    "get_compiling_cuda_version": _no_compiler,
    "iou3d_boxes_overlap_bev_forward": _iou3d_boxes_overlap_bev_forward,
    "iou3d_nms3d_forward": _iou3d_nms3d_forward,
    "iou3d_nms3d_normal_forward": _iou3d_nms3d_normal_forward,
    "line_nms_forward": _line_nms_forward,
    "nms": _nms,
    "nms_match": _nms_match,
    "nms_rotated": _nms_rotated,
    "points_in_boxes_all_forward": _points_in_boxes_all_forward,
    "points_in_boxes_cpu_forward": _points_in_boxes_cpu_forward,
    "points_in_boxes_part_forward": _points_in_boxes_part_forward,
    "softnms": _softnms,
}
