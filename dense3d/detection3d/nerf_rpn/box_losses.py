"""Losses of NeRF-RPN's boxes: by overlap, by difference of codes, and by their projections.

Yu et al., "UnitBox", ACM MM 2016 (``iou``); Rezatofighi et al., CVPR 2019 (``giou``); Zheng et al., AAAI 2020
(``diou``); the projection is NeRF-RPN's (Hu et al., CVPR 2023). Nothing here is reduced.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops import box_iou_3d_loss, box_iou_3d_reference

LOSSES = ("iou", "linear_iou", "giou", "diou", "smooth_l1")
AXIS_ALIGNED_LOSSES = ("iou", "linear_iou", "giou", "smooth_l1")
EPS = 1e-7
PROJECTION_BETA = 1 / 9
FOCAL_LENGTH, MIDDLE = 600.0, (320.0, 240.0)  # pixels, of a picture of 640 x 480
VIEWPOINTS = ((1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (-1.0, 1.0, 1.0), (-1.0, -1.0, 1.0))


def oriented_loss(boxes: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Loss of each of ``(N, 7)`` boxes by its overlap with a target: ``(N,)``.

    ``"iou"`` and ``"linear_iou"`` are ``-log`` and ``1 -`` of ``(I + 1) / (U + 1)``, of the volumes of
    intersection and union.

    Args:
        boxes, targets: ``(N, 7)``.
        kind: ``"iou"``, ``"linear_iou"``, ``"giou"`` or ``"diou"``.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]])
        >>> half = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0]])
        >>> round(oriented_loss(half, box, "linear_iou").item(), 4)  # 1 - (4 + 1) / (8 + 1)
        0.4444
    """
    if kind in ("giou", "diou"):
        return box_iou_3d_loss(boxes, targets, kind)
    volumes = boxes[:, 3:6].prod(1) + targets[:, 3:6].prod(1)
    iou = box_iou_3d_reference(boxes, targets, aligned=True)
    union = volumes / (1 + iou)
    return _of_ratio((iou * union + 1) / (union + 1), kind)


def axis_aligned_loss(codes: Tensor, targets: Tensor, kind: str) -> Tensor:
    """As :func:`oriented_loss`, of boxes along the axes by distances from one location.

    ``"giou"`` is, as officially, 1 minus ``(I + 1) / (U + 1)`` plus the part of the hull that is not covered.

    Args:
        codes, targets: ``(N, 6)`` distances to the least x, y and z, then to the greatest; not negative.
        kind: ``"iou"``, ``"linear_iou"`` or ``"giou"``.

    Example:
        >>> target, half = torch.ones(1, 6), torch.tensor([[1.0, 1.0, 0.5, 1.0, 1.0, 0.5]])
        >>> round(axis_aligned_loss(half, target, "linear_iou").item(), 4)
        0.4444
    """
    volumes = [(part[:, :3] + part[:, 3:6]).prod(1) for part in (codes, targets)]
    least, greatest = torch.minimum(codes, targets), torch.maximum(codes, targets)
    intersection = (least[:, :3] + least[:, 3:6]).prod(1)
    union = volumes[0] + volumes[1] - intersection
    ratio = (intersection + 1) / (union + 1)
    if kind == "giou":
        hull = (greatest[:, :3] + greatest[:, 3:6]).prod(1) + EPS
        return 1 - ratio + (hull - union) / hull
    return _of_ratio(ratio, kind)


def _of_ratio(ratio: Tensor, kind: str) -> Tensor:
    return -ratio.log() if kind == "iou" else 1 - ratio


def projection_loss(boxes: Tensor, targets: Tensor, resolution: float) -> Tensor:
    """Smooth L1 of two opposite corners as four cameras see them: ``(8, N, 2)``.

    The cameras look at the middle of a cube of ``resolution`` voxels from four sides above it.

    Args:
        boxes, targets: ``(N, 7)``.
        resolution: in voxels; losses are divided by it.
    """
    poses = _world_to_camera(resolution, boxes.device)
    seen = [torch.cat([_project(_ends(part), pose) for pose in poses]) for part in (boxes, targets)]
    loss = F.smooth_l1_loss(*seen, beta=PROJECTION_BETA, reduction="none") / resolution
    return loss.view(2 * len(VIEWPOINTS), -1, 2)


def _ends(boxes: Tensor) -> Tensor:
    """``(2 N, 3)`` corners of least and of greatest own coordinates."""
    x, y, z = (boxes[:, 3:6] / 2).unbind(1)
    cosine, sine = boxes[:, 6].cos(), boxes[:, 6].sin()
    half = torch.stack([x * cosine - y * sine, x * sine + y * cosine, z], 1)
    return torch.cat([boxes[:, :3] - half, boxes[:, :3] + half])


def _world_to_camera(resolution: float, device: torch.device) -> list[Tensor]:
    """``(3, 4)`` of each viewpoint; cameras look along -z."""
    middle = torch.full((3,), resolution / 2, dtype=torch.float64)
    poses = []
    for direction in VIEWPOINTS:
        back = F.normalize(torch.tensor(direction, dtype=torch.float64), dim=0)
        right = F.normalize(
            torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), back), dim=0
        )
        rotation = torch.stack([right, torch.linalg.cross(back, right), back])  # rows are the camera's axes
        place = middle + resolution * torch.tensor(direction, dtype=torch.float64)
        pose = torch.cat([rotation, -(rotation @ place)[:, None]], 1)
        poses.append(pose.float().to(device))
    return poses


def _project(points: Tensor, pose: Tensor) -> Tensor:
    """``(N, 3)`` points to ``(N, 2)`` pixels of a camera ``(3, 4)``."""
    x, y, z = (points @ pose[:, :3].T + pose[:, 3]).unbind(1)
    return torch.stack([FOCAL_LENGTH * x / z + MIDDLE[0], FOCAL_LENGTH * y / z + MIDDLE[1]], 1)
