"""Which points lie in which oriented 3D boxes.

Boxes are ``(x, y, z, x_size, y_size, z_size, yaw)`` in a frame with z up: ``(x, y, z)`` is the centre of the
bottom face, yaw turns from x towards y, metres and radians.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.ops.dispatch import register_backend

PAIRS_AT_ONCE = 20_000_000  # bounds the memory


def points_in_boxes_all(points: Tensor, boxes: Tensor) -> Tensor:
    """For every point and box whether the point lies in the box.

    Args:
        points: ``(B, M, 3)``.
        boxes: ``(B, T, 7)``.

    Returns:
        ``(B, M, T)`` int32 of 0 and 1; the side faces do not belong to a box, top and bottom do.

    Raises:
        ValueError: the shapes are others.

    Example:
        >>> box = torch.tensor([[[0.0, 0.0, 0.0, 4.0, 2.0, 1.0, torch.pi / 2]]])
        >>> points_in_boxes_all(torch.tensor([[[0.0, 1.5, 0.5], [1.5, 0.0, 0.5]]]), box)[0, :, 0].tolist()
        [1, 0]
    """
    if points.dim() != 3 or points.shape[2] != 3 or boxes.dim() != 3 or boxes.shape[2] != 7:
        shapes = f"{tuple(points.shape)} and {tuple(boxes.shape)}"
        raise ValueError(f"points must be (B, M, 3) and boxes (B, T, 7), not {shapes}")
    at_once = max(1, PAIRS_AT_ONCE // max(1, len(points) * boxes.shape[1]))
    return torch.cat([_inside(part, boxes).int() for part in points.split(at_once, dim=1)], dim=1)


def points_in_boxes_part(points: Tensor, boxes: Tensor) -> Tensor:
    """For every point the first box that it lies in.

    Args:
        points: ``(B, M, 3)``.
        boxes: ``(B, T, 7)``.

    Returns:
        ``(B, M)`` int32, -1 for points in no box.

    Raises:
        ValueError: the shapes are others.

    Example:
        >>> box = torch.tensor([[[0.0, 0.0, 0.0, 4.0, 2.0, 1.0, 0.0]]])
        >>> points_in_boxes_part(torch.tensor([[[1.5, 0.0, 0.5], [0.0, 1.5, 0.5]]]), box).tolist()
        [[0, -1]]
    """
    inside = points_in_boxes_all(points, boxes)
    if boxes.shape[1] == 0:
        return inside.new_full(inside.shape[:2], -1)
    first = inside.argmax(2).int()
    return torch.where(inside.any(2), first, -1)


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    x, y, z = (points[:, :, None] - boxes[:, None, :, :3]).unbind(-1)  # (B, M, T)
    half_x, half_y, half_z = (boxes[:, None, :, 3:6] / 2).unbind(-1)
    cosine, sine = boxes[:, None, :, 6].cos(), boxes[:, None, :, 6].sin()
    along, across = x * cosine + y * sine, y * cosine - x * sine
    return (along.abs() < half_x) & (across.abs() < half_y) & ((z - half_z).abs() <= half_z)


register_backend("points_in_boxes_all", "torch", implementation=points_in_boxes_all)
register_backend("points_in_boxes_part", "torch", implementation=points_in_boxes_part)
