"""The six numbers (cx, cy, l, r, t, b) of a query: where the 3D centre is seen, and the 2D box around it.

``cx, cy`` is the projection of the 3D box's centre, ``l, r, t, b`` are its distances to the left, right, top
and bottom side of the 2D box; all over the image's width or height.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def box_corners(boxes: Tensor) -> Tensor:
    """Left, top, right, bottom ``(..., 4)`` of the 2D boxes of ``(..., 6)``.

    Example:
        >>> box_corners(torch.tensor([0.5, 0.5, 0.25, 0.125, 0.5, 0.25])).tolist()
        [0.25, 0.0, 0.625, 0.75]
    """
    cx, cy, left, right, top, bottom = boxes.unbind(-1)
    return torch.stack((cx - left, cy - top, cx + right, cy + bottom), dim=-1)


def centred_boxes(boxes: Tensor) -> Tensor:
    """The 2D boxes of ``(..., 6)`` as ``(..., 4)``: their own centre, width and height.

    Example:
        >>> centred_boxes(torch.tensor([0.5, 0.5, 0.25, 0.125, 0.5, 0.25])).tolist()
        [0.4375, 0.375, 0.375, 0.75]
    """
    cx, cy, left, right, top, bottom = boxes.unbind(-1)
    return torch.stack((cx + (right - left) / 2, cy + (bottom - top) / 2, left + right, top + bottom), dim=-1)


def sampling_references(references: Tensor) -> Tensor:
    """Where deformable attention looks: points ``(..., 2)`` as they are, boxes ``(..., 6)`` as ``(..., 4)``.

    The latter are the projected centre with the width and height of the 2D box, which is not centred on it.
    """
    if references.shape[-1] == 2:
        return references
    cx, cy, left, right, top, bottom = references.unbind(-1)
    return torch.stack((cx, cy, left + right, top + bottom), dim=-1)


def refined(offsets: Tensor, references: Tensor) -> Tensor:
    """Boxes ``(..., 6)`` in (0, 1): references moved by ``offsets`` in logit space.

    Args:
        offsets: ``(..., 6)``, output of a box head.
        references: ``(..., 6)``, or ``(..., 2)``, which move the centre alone.

    Example:
        >>> refined(torch.zeros(6), torch.tensor([0.25, 0.75])).round(decimals=4).tolist()
        [0.25, 0.75, 0.5, 0.5, 0.5, 0.5]
    """
    logits = torch.logit(references.float(), eps=1e-5)
    missing = offsets.shape[-1] - references.shape[-1]
    return (offsets + F.pad(logits, (0, missing))).sigmoid()
