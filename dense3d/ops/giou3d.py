"""Generalised overlap of upright oriented boxes with an axis-aligned enclosing box, as 3DETR matches by.

Boxes are as in :mod:`dense3d.ops.rotated3d`, whose losses enclose by the smallest turned rectangle instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.ops.dispatch import register_backend
from dense3d.ops.rotated import _corners
from dense3d.ops.rotated3d import FOOTPRINT, _check_boxes, box_iou_3d, box_iou_3d_reference

MALFORMED = 1e-6  # cubic metres: an enclosing box up to twice, or two boxes together up to four times that


def box_giou_3d(boxes1: Tensor, boxes2: Tensor, diagonal_rule: bool = False) -> Tensor:
    """Generalised IoU of all pairs: ``IoU - (1 - union / enclosing)`` (Rezatofighi et al., CVPR 2019, eq. 1).

    The enclosing box is axis-aligned (Misra et al., "An End-to-End Transformer Model for 3D Object
    Detection", ICCV 2021). Differentiable; without gradients the overlaps are computed by compiled code.

    Args:
        boxes1: ``(M, 7)`` as for :func:`~dense3d.ops.box_iou_3d`.
        boxes2: ``(N, 7)``.
        diagonal_rule: as 3DETR's code does, take turned boxes for disjoint whose rectangles' corners 2 and 0
            (in signs of x and y size (-, -) and (+, +) for a clockwise yaw) do not span hulls that overlap.

    Returns:
        ``(M, N)`` in -1..1; 0 where boxes have no volume.

    Raises:
        ValueError: the shapes are others.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]])
        >>> apart = box + torch.tensor([4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        >>> round(box_giou_3d(box, apart).item(), 4)
        -0.3333
    """
    _check_boxes(boxes1, boxes2)
    differentiate = torch.is_grad_enabled() and (boxes1.requires_grad or boxes2.requires_grad)
    iou = (box_iou_3d_reference if differentiate else box_iou_3d)(boxes1.double(), boxes2.double())
    a, b = boxes1.double(), boxes2.double()
    if diagonal_rule:
        iou = iou * _diagonals_overlap(a, b)
    volumes = a[:, None, 3:6].prod(-1) + b[None, :, 3:6].prod(-1)  # (M, N)
    low_a, high_a = _hulls(a)
    low_b, high_b = _hulls(b)
    sides = torch.maximum(high_a[:, None], high_b[None]) - torch.minimum(low_a[:, None], low_b[None])
    enclosing = sides.prod(-1)
    sound = (enclosing > 2 * MALFORMED) & (volumes > 4 * MALFORMED)
    giou = iou - 1 + volumes / (1 + iou) / torch.where(sound, enclosing, 1.0)
    return torch.where(sound, giou, 0.0).to(boxes1)


def _hulls(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Least and greatest coordinates ``(N, 3)`` of each box."""
    cosine, sine = boxes[:, 6].cos().abs(), boxes[:, 6].sin().abs()
    x = boxes[:, 3] * cosine + boxes[:, 4] * sine
    y = boxes[:, 3] * sine + boxes[:, 4] * cosine
    half = torch.stack([x, y, boxes[:, 5]], dim=-1) / 2
    return boxes[:, :3] - half, boxes[:, :3] + half


def _diagonals_overlap(a: Tensor, b: Tensor) -> Tensor:
    """``(M, N)`` bool: the rectangles from corner (-, -) to corner (+, +) have a common area."""
    origin = a.new_zeros(2)
    ends = [_corners(boxes[:, FOOTPRINT], origin) for boxes in (a, b)]  # (N, 4, 2), the first is (-, -)
    low = torch.maximum(ends[0][:, None, 0], ends[1][None, :, 0])
    high = torch.minimum(ends[0][:, None, 2], ends[1][None, :, 2])
    return (high > low).all(-1)


register_backend("box_giou_3d", "torch", implementation=box_giou_3d)
