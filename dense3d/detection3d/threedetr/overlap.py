"""The generalised IoU that 3DETR matches and learns with.

Misra et al., ICCV 2021, section 3.5; Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.ops import box_iou_rotated
from dense3d.ops.rotated import _intersection_area
from dense3d.ops.rotated3d import FOOTPRINT

LEAST_EDGE, LEAST_VOLUME = 1e-3, 1e-8


def generalised_iou(boxes: Tensor, others: Tensor, rotated: bool) -> Tensor:
    """Generalised IoU of boxes with an axis-aligned enclosing box; differentiable.

    Quirks of the official code are kept, since its weights were trained with them. Where two corners at the
    ends of a diagonal of each footprint do not span rectangles that overlap, boxes count as disjoint; without
    ``rotated`` these rectangles stand for the footprints. Pairs that are next to nothing have 0.

    Args:
        boxes, others: ``(..., 7)`` in the world frame, whose shapes broadcast.
        rotated: whether boxes are turned; else they lie along the axes.

    Returns:
        ``(...)`` in [-1, 1].

    Example:
        >>> box = torch.tensor([0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0])
        >>> round(generalised_iou(box, box + torch.tensor([1.0, 0, 0, 0, 0, 0, 0]), False).item(), 4)
        0.3333
    """
    boxes, others = torch.broadcast_tensors(boxes, others)
    (low1, high1), (low2, high2) = _diagonal(boxes), _diagonal(others)
    spanned = (torch.minimum(high1, high2) - torch.maximum(low1, low2)).clamp(min=0).prod(dim=-1)
    area = _footprints(boxes, others, spanned > 0) if rotated else spanned
    top, bottom = (
        extreme(boxes[..., 2] + sign * boxes[..., 5] / 2, others[..., 2] + sign * others[..., 5] / 2)
        for extreme, sign in ((torch.minimum, 1), (torch.maximum, -1))
    )
    common = area * (top - bottom).clamp(min=0)
    volumes = [
        b[..., 3:6].clamp(min=LEAST_EDGE).prod(dim=-1).clamp(min=LEAST_VOLUME) for b in (boxes, others)
    ]
    union = (sum(volumes) - common).clamp(min=LEAST_VOLUME)
    half1, half2 = _half_extent(boxes), _half_extent(others)
    hull = torch.maximum(boxes[..., :3] + half1, others[..., :3] + half2)
    hull = (hull - torch.minimum(boxes[..., :3] - half1, others[..., :3] - half2)).prod(dim=-1)
    good = (hull > 2 * LEAST_VOLUME) & (sum(volumes) > 4 * LEAST_VOLUME)
    hull = torch.where(good, hull, 1.0)
    return torch.where(good, common / union - (1 - union / hull), 0.0)


def _diagonal(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The footprint's corners behind at the right and before at the left of the heading, ``(..., 2)``."""
    length, width = (boxes[..., 3:5] / 2).unbind(-1)
    cosine, sine = boxes[..., 6].cos(), boxes[..., 6].sin()
    offset = torch.stack([length * cosine - width * sine, length * sine + width * cosine], dim=-1)
    return boxes[..., :2] - offset, boxes[..., :2] + offset


def _half_extent(boxes: Tensor) -> Tensor:
    """``(..., 3)``, half the sides of the axis-aligned hull."""
    length, width, height = (boxes[..., 3:6] / 2).unbind(-1)
    cosine, sine = boxes[..., 6].cos().abs(), boxes[..., 6].sin().abs()
    return torch.stack([length * cosine + width * sine, length * sine + width * cosine, height], dim=-1)


def _footprints(boxes: Tensor, others: Tensor, meet: Tensor) -> Tensor:
    """Areas ``(...)`` that two footprints share, of the pairs of the mask."""
    first, second = (b[meet][:, FOOTPRINT].double() for b in (boxes, others))
    if torch.is_grad_enabled() and (first.requires_grad or second.requires_grad):
        area = _intersection_area(first, second)
    else:  # by the compiled overlap
        iou = box_iou_rotated(first, second, aligned=True)
        area = iou / (1 + iou) * (first[:, 2:4].prod(dim=1) + second[:, 2:4].prod(dim=1))
    return torch.zeros_like(boxes[..., 0]).masked_scatter(meet, area.to(boxes.dtype))
