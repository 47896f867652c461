"""Boxes as the official indoor detectors have them: eight corners in a camera frame, clockwise headings."""

from __future__ import annotations

import torch
from mmengine.structures import InstanceData
from torch import Tensor

# signs of length, height (down) and width of the eight corners
SIGNS = ((1, 1, 1), (1, 1, -1), (-1, 1, -1), (-1, 1, 1), (1, -1, 1), (1, -1, -1), (-1, -1, -1), (-1, -1, 1))


def corners_of(boxes: Tensor) -> Tensor:
    """Corners ``(..., 8, 3)``, x right, y down, z forward, of boxes ``(..., 7)`` in our world frame."""
    signs = boxes.new_tensor(SIGNS) / 2
    along, down, across = (signs * boxes[..., None, [3, 5, 4]]).unbind(-1)  # (..., 8)
    cosine, sine = boxes[..., 6:7].cos(), -boxes[..., 6:7].sin()  # of the clockwise heading
    x, y, z = boxes[..., None, :3].unbind(-1)
    return torch.stack([x + along * cosine + across * sine, down - z, y - along * sine + across * cosine], -1)


def boxes_of(corners: Tensor) -> Tensor:
    """The inverse of :func:`corners_of`, to rounding; sizes are not negative."""
    precise = corners.double()
    along, across = precise[..., 0, :] - precise[..., 3, :], precise[..., 0, :] - precise[..., 1, :]
    height = (precise[..., 0, 1] - precise[..., 4, 1]).abs()
    x, y, z = precise.mean(dim=-2).unbind(-1)
    yaw = torch.atan2(along[..., 2], along[..., 0])
    boxes = torch.stack([x, z, -y, along.norm(dim=-1), across.norm(dim=-1), height, yaw], dim=-1)
    return boxes.to(corners)


def entries(detections: list[InstanceData]) -> dict[str, Tensor]:
    """Detections of several scenes in the lists that kits have."""
    number = torch.arange(len(detections))
    return {
        "image": number.repeat_interleave(torch.tensor([len(one.boxes) for one in detections])),
        "cls": torch.cat([one.labels for one in detections]),
        "corners": corners_of(torch.cat([one.boxes for one in detections])),
        "score": torch.cat([one.scores for one in detections]),
    }
