"""Overlap and non-maximum suppression of rotated boxes ``(cx, cy, w, h, angle)`` in the image plane.

Image frame: x to the right, y down; the angle is in radians, and positive turns clockwise as seen
on the screen (from x towards y) unless ``clockwise=False``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dense3d.ops.boxes import check_overlap_mode
from dense3d.ops.dispatch import register_backend, select_backend

MIN_AREA = 1e-14
PAIRS_AT_ONCE = 200_000  # bounds the memory of the torch version


def box_iou_rotated(
    boxes1: Tensor, boxes2: Tensor, mode: str = "iou", aligned: bool = False, clockwise: bool = True
) -> Tensor:
    """Intersection over union, or over the first box's area, of rotated boxes.

    Args:
        boxes1: ``(M, 5)`` as ``(cx, cy, w, h, angle)``, pixels and radians.
        boxes2: ``(N, 5)``; with ``aligned`` M and N are equal.
        mode: ``"iou"``, or ``"iof"``, which divides by the area of ``boxes1``.
        aligned: compare row by row instead of all pairs.
        clockwise: whether positive angles turn from x towards y.

    Returns:
        ``(M, N)``, or ``(M,)`` with ``aligned``; 0 where a box has no area. Not differentiable:
        :func:`box_iou_rotated_reference` is.

    Raises:
        ValueError: ``mode`` is another word.

    Example:
        >>> a = torch.tensor([[0.0, 0.0, 2.0, 2.0, 0.0]])
        >>> b = torch.tensor([[0.0, 0.0, 2.0, 2.0, torch.pi / 4], [1.0, 0.0, 2.0, 2.0, 0.0]])
        >>> [round(v, 4) for v in box_iou_rotated(a, b)[0].tolist()]
        [0.7071, 0.3333]
    """
    implementation = select_backend("box_iou_rotated", boxes1.device.type).implementation
    return implementation(boxes1.detach(), boxes2.detach(), mode, aligned, clockwise)


def _box_iou_rotated_numba(boxes1, boxes2, mode, aligned, clockwise) -> Tensor:
    check_overlap_mode(mode)
    from dense3d.ops import rotated_kernels

    kernel = rotated_kernels.aligned_overlap if aligned else rotated_kernels.pairwise_overlap
    overlaps = kernel(_float64_array(boxes1, clockwise), _float64_array(boxes2, clockwise), mode == "iof")
    return torch.from_numpy(overlaps).to(boxes1)


def box_iou_rotated_reference(
    boxes1: Tensor, boxes2: Tensor, mode: str = "iou", aligned: bool = False, clockwise: bool = True
) -> Tensor:
    """:func:`box_iou_rotated` in torch on any device: it defines the result, and differentiates.

    The corners of the common polygon are among the crossings of the sides and the corners that lie
    in the other box; sorted by angle around their mean they give its area (shoelace formula).
    """
    check_overlap_mode(mode)
    if aligned:
        return _overlap(_turned(boxes1, clockwise), _turned(boxes2, clockwise), mode)
    rows = max(1, PAIRS_AT_ONCE // max(1, len(boxes2)))
    second = _turned(boxes2, clockwise)[None]
    parts = [_overlap(part[:, None], second, mode) for part in _turned(boxes1, clockwise).split(rows)]
    return torch.cat(parts) if parts else boxes1.new_zeros(0, len(boxes2))


def _overlap(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    boxes1, boxes2 = torch.broadcast_tensors(boxes1, boxes2)  # (..., 5)
    area1, area2 = boxes1[..., 2:4].prod(-1), boxes2[..., 2:4].prod(-1)
    intersection = _intersection_area(boxes1.double(), boxes2.double()).to(boxes1)
    base = area1 if mode == "iof" else area1 + area2 - intersection
    empty = (area1 < MIN_AREA) | (area2 < MIN_AREA)
    return torch.where(empty, 0.0, intersection / torch.where(empty, 1.0, base))


def _intersection_area(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    origin = (boxes1[..., :2] + boxes2[..., :2]) / 2  # small numbers keep the precision
    corners1, corners2 = _corners(boxes1, origin), _corners(boxes2, origin)  # (..., 4, 2)
    crossings, crosses = _crossings(corners1, corners2)  # (..., 16, 2)
    points = torch.cat([crossings, corners1, corners2], dim=-2)  # (..., 24, 2)
    valid = torch.cat([crosses, _inside(corners1, corners2), _inside(corners2, corners1)], dim=-1)
    count = valid.sum(-1, keepdim=True)  # (..., 1)
    centre = torch.where(valid[..., None], points, 0).sum(-2) / count.clamp(min=1)  # (..., 2)
    points = torch.where(valid[..., None], points - centre[..., None, :], 0)
    angle = torch.atan2(points[..., 1].detach(), points[..., 0].detach())
    order = torch.where(valid, angle, torch.inf).argsort(-1)
    x, y = points.gather(-2, order[..., None].expand_as(points)).unbind(-1)  # (..., 24) valid ones first
    # the place behind the last valid point is the first one again
    place = torch.arange(24, device=order.device)
    follower = torch.where(place + 1 < count, (place + 1).expand_as(order).clamp(max=23), 0)
    cross = x * y.gather(-1, follower) - y * x.gather(-1, follower)
    area = torch.where(place < count, cross, 0).sum(-1) / 2
    return torch.where(count[..., 0] > 2, area, 0).clamp(min=0)


def _corners(boxes: Tensor, origin: Tensor) -> Tensor:
    """``(..., 4, 2)`` in the order of a walk around the box."""
    half_w, half_h, angle = boxes[..., 2:3] / 2, boxes[..., 3:4] / 2, boxes[..., 4:5]
    u = half_w * boxes.new_tensor([-1, 1, 1, -1])
    v = half_h * boxes.new_tensor([-1, -1, 1, 1])
    x, y = u * angle.cos() - v * angle.sin(), u * angle.sin() + v * angle.cos()
    return torch.stack([x, y], -1) + (boxes[..., :2] - origin)[..., None, :]


def _crossings(corners1: Tensor, corners2: Tensor) -> tuple[Tensor, Tensor]:
    """Where the sides meet ``(..., 16, 2)``, and which of them do ``(..., 16)``."""
    start1, start2 = corners1[..., :, None, :], corners2[..., None, :, :]
    side1 = corners1.roll(-1, -2)[..., :, None, :] - start1
    side2 = corners2.roll(-1, -2)[..., None, :, :] - start2
    determinant = _cross(side2, side1)  # (..., 4, 4)
    parallel = determinant.abs() <= MIN_AREA
    determinant = torch.where(parallel, 1.0, determinant)
    t1 = _cross(side2, start2 - start1) / determinant
    t2 = _cross(side1, start2 - start1) / determinant
    meets = ~parallel & (t1 >= 0) & (t1 <= 1) & (t2 >= 0) & (t2 <= 1)
    return (start1 + t1[..., None] * side1).flatten(-3, -2), meets.flatten(-2)


def _inside(points: Tensor, corners: Tensor) -> Tensor:
    """Which ``points`` ``(..., P, 2)`` lie in the rectangle, its border included up to rounding."""
    inside = points.new_ones(points.shape[:-1], dtype=torch.bool)
    for side in (corners[..., 1:2, :] - corners[..., :1, :], corners[..., 3:4, :] - corners[..., :1, :]):
        along = ((points - corners[..., :1, :]) * side).sum(-1)
        length = (side * side).sum(-1)
        inside &= (along >= -1e-12 * length) & (along <= length * (1 + 1e-12))
    return inside


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - b[..., 0] * a[..., 1]


def nms_rotated(
    boxes: Tensor, scores: Tensor, iou_threshold: float, clockwise: bool = True
) -> tuple[Tensor, Tensor]:
    """Keep the best box of every heap of rotated boxes whose IoU reaches ``iou_threshold``.

    Args:
        boxes: ``(N, 5)`` as ``(cx, cy, w, h, angle)``, pixels and radians.
        scores: ``(N,)``.
        iou_threshold: boxes with an IoU not less than that with a kept box are dropped.
        clockwise: whether positive angles turn from x towards y.

    Returns:
        ``(K, 6)`` boxes with scores by falling score, and their indices ``(K,)``.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 4, 2, 0.1], [0, 0, 4, 2, 0.0], [0, 0, 4, 2, 1.5]])
        >>> nms_rotated(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.5)[1].tolist()
        [1, 2]
    """
    order = scores.detach().argsort(descending=True)
    implementation = select_backend("nms_rotated", boxes.device.type).implementation
    keep = order[implementation(boxes.detach()[order], iou_threshold, clockwise)]
    return torch.cat([boxes[keep], scores[keep, None]], dim=1), keep


def _nms_rotated_numba(boxes: Tensor, iou_threshold: float, clockwise: bool) -> Tensor:
    from dense3d.ops import rotated_kernels

    kept = rotated_kernels.nms(_float64_array(boxes, clockwise), np.float32(iou_threshold))
    return torch.from_numpy(kept)


def _nms_rotated_matrix(boxes: Tensor, iou_threshold: float, clockwise: bool) -> Tensor:
    """All overlaps on the device, then one pass over the matrix on the CPU."""
    from dense3d.ops import _suppression

    overlaps = box_iou_rotated_reference(boxes, boxes, clockwise=clockwise)
    leader = _suppression.greedy_leaders((overlaps >= iou_threshold).cpu().numpy())
    return torch.from_numpy(leader == np.arange(len(leader))).to(boxes.device)


def _turned(boxes: Tensor, clockwise: bool) -> Tensor:
    return boxes if clockwise else boxes * boxes.new_tensor([1, 1, 1, 1, -1])


def _float64_array(boxes: Tensor, clockwise: bool) -> np.ndarray:
    return np.ascontiguousarray(_turned(boxes, clockwise).detach().cpu().double().numpy())


register_backend("box_iou_rotated", "numba", device="cpu", implementation=_box_iou_rotated_numba)
register_backend("box_iou_rotated", "reference", implementation=box_iou_rotated_reference)
register_backend("nms_rotated", "numba", device="cpu", implementation=_nms_rotated_numba)
register_backend("nms_rotated", "matrix", implementation=_nms_rotated_matrix)
