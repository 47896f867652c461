"""Overlap, non-maximum suppression and overlap losses of upright oriented boxes.

Boxes are ``(x, y, z, x_size, y_size, z_size, yaw)`` in a frame with z up: ``(x, y, z)`` is the centre, yaw
turns from x towards y, metres and radians. :class:`dense3d.structures.Boxes3D` converts boxes of cameras.
The footprints are compared by :mod:`dense3d.ops.rotated`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dense3d.ops.boxes import check_overlap_mode
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.rotated import PAIRS_AT_ONCE, _corners, _intersection_area

MIN_VOLUME = 1e-14
FOOTPRINT = (0, 1, 3, 4, 6)  # what box_iou_rotated takes of a box
LOSSES = ("iou", "giou", "diou")


def box_iou_3d(boxes1: Tensor, boxes2: Tensor, mode: str = "iou", aligned: bool = False) -> Tensor:
    """Intersection over union, or over the first box's volume, of upright oriented boxes.

    Args:
        boxes1: ``(M, 7)`` as ``(x, y, z, x_size, y_size, z_size, yaw)``, z up, centres, metres and radians.
        boxes2: ``(N, 7)``; with ``aligned`` M and N are equal.
        mode: ``"iou"``, or ``"iof"``, which divides by the volume of ``boxes1``.
        aligned: compare row by row instead of all pairs.

    Returns:
        ``(M, N)``, or ``(M,)`` with ``aligned``; 0 where a box has no volume. Not differentiable:
        :func:`box_iou_3d_reference` is.

    Raises:
        ValueError: ``mode`` is another word, or the shapes are others.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 0.0, 4.0, 2.0, 2.0, 0.3]])
        >>> higher = box + torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
        >>> round(box_iou_3d(box, higher).item(), 4)
        0.3333
    """
    check_overlap_mode(mode)
    _check_boxes(boxes1, boxes2)
    implementation = select_backend("box_iou_3d", boxes1.device.type).implementation
    return implementation(boxes1.detach(), boxes2.detach(), mode, aligned)


def _box_iou_3d_numba(boxes1: Tensor, boxes2: Tensor, mode: str, aligned: bool) -> Tensor:
    from dense3d.ops import rotated_kernels

    kernel = rotated_kernels.aligned_overlap_3d if aligned else rotated_kernels.pairwise_overlap_3d
    overlaps = kernel(_float64_array(boxes1), _float64_array(boxes2), mode == "iof")
    return torch.from_numpy(overlaps).to(boxes1)


def box_iou_3d_reference(boxes1: Tensor, boxes2: Tensor, mode: str = "iou", aligned: bool = False) -> Tensor:
    """:func:`box_iou_3d` in torch on any device: it defines the result, and differentiates."""
    check_overlap_mode(mode)
    _check_boxes(boxes1, boxes2)
    if aligned:
        return _overlap(boxes1, boxes2, mode)[0]
    rows = max(1, PAIRS_AT_ONCE // max(1, len(boxes2)))
    parts = [_overlap(part[:, None], boxes2[None], mode)[0] for part in boxes1.split(rows)]
    return torch.cat(parts) if parts else boxes1.new_zeros(0, len(boxes2))


def box_iou_3d_loss(boxes1: Tensor, boxes2: Tensor, kind: str = "iou") -> Tensor:
    """``1 - IoU`` of pairs of boxes, or its generalisations for boxes that do not meet; differentiable.

    The enclosing box is the smallest rotated rectangle around both footprints times the common z range.
    ``giou`` adds the part of it that is in neither box (Rezatofighi et al., CVPR 2019, eq. 1), ``diou`` the
    squared distance of the centres over its squared diagonal (Zheng et al., AAAI 2020, eq. 7).

    Args:
        boxes1, boxes2: ``(N, 7)`` as for :func:`box_iou_3d`, with positive sizes.
        kind: ``"iou"``, ``"giou"`` or ``"diou"``.

    Returns:
        ``(N,)``, not reduced.

    Raises:
        ValueError: ``kind`` is another word, or the shapes are others.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]])
        >>> apart = box + torch.tensor([4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        >>> [round(box_iou_3d_loss(box, apart, kind).item(), 4) for kind in ("iou", "giou", "diou")]
        [1.0, 1.3333, 1.3636]
    """
    if kind not in LOSSES:
        raise ValueError(f"kind must be one of {LOSSES}, not {kind!r}")
    _check_boxes(boxes1, boxes2)
    iou, union = _overlap(boxes1, boxes2, "iou")
    if kind == "iou":
        return 1 - iou
    sides = enclosing_rectangle(boxes1[:, FOOTPRINT], boxes2[:, FOOTPRINT])  # (N, 2)
    top = torch.maximum(boxes1[:, 2] + boxes1[:, 5] / 2, boxes2[:, 2] + boxes2[:, 5] / 2)
    bottom = torch.minimum(boxes1[:, 2] - boxes1[:, 5] / 2, boxes2[:, 2] - boxes2[:, 5] / 2)
    if kind == "giou":
        volume = sides.prod(-1) * (top - bottom)
        return 1 - iou + (volume - union) / volume
    distance = (boxes1[:, :3] - boxes2[:, :3]).square().sum(-1)
    return 1 - iou + distance / (sides.square().sum(-1) + (top - bottom).square())


def enclosing_rectangle(rectangles1: Tensor, rectangles2: Tensor) -> Tensor:
    """Sides of the rotated rectangle of least area around two rotated rectangles; differentiable.

    One of its sides lies on a side of the convex hull (Freeman and Shapira, CACM 1975), that is on the line
    through two of the eight corners, all of which are tried.

    Args:
        rectangles1, rectangles2: ``(N, 5)`` as ``(cx, cy, w, h, angle)``.

    Returns:
        ``(N, 2)`` both sides, in the dtype of the input.

    Example:
        >>> square = torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.0]])
        >>> enclosing_rectangle(square, square + torch.tensor([2.0, 0, 0, 0, 0])).sort().values.tolist()
        [[1.0, 3.0]]
    """
    a, b = rectangles1.double(), rectangles2.double()
    origin = (a[:, :2] + b[:, :2]) / 2
    points = torch.cat([_corners(a, origin), _corners(b, origin)], dim=1)  # (N, 8, 2)
    start, end = torch.triu_indices(8, 8, offset=1, device=points.device)
    lines = points[:, end] - points[:, start]  # (N, 28, 2)
    squared = lines.square().sum(-1, keepdim=True)
    usable = squared > 1e-12 * squared.amax(1, keepdim=True)  # coinciding corners give no direction
    along = lines / torch.where(usable, squared, 1.0).sqrt()
    across = torch.stack([-along[..., 1], along[..., 0]], dim=-1)
    sides = [_extent(points @ directions.transpose(1, 2)) for directions in (along, across)]
    sides = torch.stack(sides, dim=-1)  # (N, 28, 2)
    area = torch.where(usable[..., 0], sides.detach().prod(-1), torch.inf)
    best = area.argmin(1)[:, None, None].expand(-1, 1, 2)
    return sides.gather(1, best)[:, 0].to(rectangles1)


def _extent(projections: Tensor) -> Tensor:
    """``(N, 28)`` lengths of what 8 points cover on 28 lines, of ``(N, 8, 28)`` positions."""
    return projections.amax(1) - projections.amin(1)


def _overlap(boxes1: Tensor, boxes2: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Overlap and union's volume of boxes ``(..., 7)``."""
    boxes1, boxes2 = torch.broadcast_tensors(boxes1, boxes2)
    a, b = boxes1.double(), boxes2.double()
    volume1, volume2 = a[..., 3:6].prod(-1), b[..., 3:6].prod(-1)
    top = torch.minimum(a[..., 2] + a[..., 5] / 2, b[..., 2] + b[..., 5] / 2)
    bottom = torch.maximum(a[..., 2] - a[..., 5] / 2, b[..., 2] - b[..., 5] / 2)
    common = _intersection_area(a[..., FOOTPRINT], b[..., FOOTPRINT]) * (top - bottom).clamp(min=0)
    union = volume1 + volume2 - common
    empty = (volume1 < MIN_VOLUME) | (volume2 < MIN_VOLUME)
    base = torch.where(empty, 1.0, volume1 if mode == "iof" else union)
    return torch.where(empty, 0.0, common / base).to(boxes1), union.to(boxes1)


def nms_3d(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best box of every heap of upright oriented boxes.

    Args:
        boxes: ``(N, 7)`` as for :func:`box_iou_3d`.
        scores: ``(N,)``.
        iou_threshold: boxes with a larger IoU with a kept box are dropped.

    Returns:
        ``(K,)`` indices by falling score; equal scores in the order of the input.

    Raises:
        ValueError: the shapes are others.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 0, 4, 2, 2, 0.1], [0, 0, 0, 4, 2, 2, 0], [0, 0, 3, 4, 2, 2, 0]])
        >>> nms_3d(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.5).tolist()
        [1, 2]
    """
    _check_boxes(boxes, boxes)
    order = scores.detach().argsort(descending=True, stable=True)
    implementation = select_backend("nms_3d", boxes.device.type).implementation
    return order[implementation(boxes.detach()[order], iou_threshold)]


def _nms_3d_numba(boxes: Tensor, iou_threshold: float) -> Tensor:
    from dense3d.ops import rotated_kernels

    return torch.from_numpy(rotated_kernels.nms_3d(_float64_array(boxes), float(iou_threshold)))


def _nms_3d_matrix(boxes: Tensor, iou_threshold: float) -> Tensor:
    """All overlaps on the device, then one pass over the matrix on the CPU."""
    from dense3d.ops import _suppression

    overlaps = box_iou_3d_reference(boxes.double(), boxes.double())
    leader = _suppression.greedy_leaders((overlaps > iou_threshold).cpu().numpy())
    return torch.from_numpy(leader == np.arange(len(leader))).to(boxes.device)


def _check_boxes(boxes1: Tensor, boxes2: Tensor) -> None:
    for boxes in (boxes1, boxes2):
        if boxes.dim() != 2 or boxes.shape[1] != 7:
            raise ValueError(f"boxes must be (N, 7), not {tuple(boxes.shape)}")


def _float64_array(boxes: Tensor) -> np.ndarray:
    return np.ascontiguousarray(boxes.cpu().double().numpy())


register_backend("box_iou_3d", "numba", device="cpu", implementation=_box_iou_3d_numba)
register_backend("box_iou_3d", "reference", implementation=box_iou_3d_reference)
register_backend("box_iou_3d_loss", "torch", implementation=box_iou_3d_loss)
register_backend("nms_3d", "numba", device="cpu", implementation=_nms_3d_numba)
register_backend("nms_3d", "matrix", implementation=_nms_3d_matrix)
