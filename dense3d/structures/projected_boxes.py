"""2D boxes that 3D boxes give in an image, and how much of them the image cuts off."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dense3d.structures.boxes3d import Boxes3D

# bottom, top and vertical edges of Boxes3D.corners
EDGES = (
    *((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4)),
    *((0, 4), (1, 5), (2, 6), (3, 7)),
)
NEAR = 0.1  # metres; what is nearer to the camera's plane is not projected


@dataclass(frozen=True, eq=False)
class ProjectedBoxes:
    """2D boxes of 3D boxes.

    Attributes:
        boxes: ``(N, 4)`` left, top, right, bottom in pixels, inside the image; 0 where nothing is seen.
        unclipped: ``(N, 4)`` the same beyond the image's border.
        truncation: ``(N,)`` part of the unclipped box's area that lies outside the image, 0..1.
        visible: ``(N,)`` whether some of the box lies before the camera and inside the image.
    """

    boxes: Tensor
    unclipped: Tensor
    truncation: Tensor
    visible: Tensor


def project_boxes(boxes: Boxes3D, projection: Tensor, size: tuple[int, int]) -> ProjectedBoxes:
    """Bounding boxes in the image of the parts of 3D boxes that lie before the camera.

    Edges that pass the camera's plane are cut ``NEAR`` before it, so that an object beside the camera gets a
    box that reaches far beyond the image, and one behind it none.

    Args:
        boxes: in the camera frame.
        projection: ``(3, 4)`` matrix such as P2.
        size: width and height of the image in pixels.

    Raises:
        ValueError: the boxes are in another frame.

    Example:
        >>> box = Boxes3D(torch.tensor([[0.0, 1.0, 11.0, 2.0, 2.0, 2.0, 0.0]]), "camera")
        >>> matrix = torch.tensor([[100.0, 0, 50, 0], [0, 100, 40, 0], [0, 0, 1, 0]])
        >>> project_boxes(box, matrix, (101, 81)).boxes.tolist()
        [[40.0, 30.0, 60.0, 50.0]]
    """
    if boxes.frame != "camera":
        raise ValueError("boxes are projected in the camera frame; use to_camera() first")
    corners = boxes.corners()  # (N, 8, 3)
    projection = projection.to(corners)
    homogeneous = corners @ projection[:, :3].T + projection[:, 3]  # (N, 8, 3) with the depth last
    start, end = homogeneous[:, [a for a, _ in EDGES]], homogeneous[:, [b for _, b in EDGES]]
    points, valid = _before_camera(start, end)
    pixels = points[..., :2] / torch.where(valid, points[..., 2], 1.0)[..., None]  # (N, 24, 2)
    low = torch.where(valid[..., None], pixels, torch.inf).amin(1)
    high = torch.where(valid[..., None], pixels, -torch.inf).amax(1)
    unclipped = torch.cat([low, high], dim=1)
    width, height = size
    limits = unclipped.new_tensor([width - 1, height - 1, width - 1, height - 1])
    clipped = torch.minimum(unclipped.clamp(min=0), limits)
    seen = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1]) & valid.any(1)
    unclipped = torch.where(valid.any(1)[:, None], unclipped, 0.0)
    clipped = torch.where(seen[:, None], clipped, 0.0)
    return ProjectedBoxes(clipped, unclipped, truncation(clipped, unclipped), seen)


def truncation(clipped: Tensor, unclipped: Tensor) -> Tensor:
    """Part of the unclipped boxes' area that was clipped away, ``(N,)`` in 0..1.

    Example:
        >>> truncation(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[-30.0, 0, 10, 10]])).tolist()
        [0.75]
    """
    whole = (unclipped[:, 2:] - unclipped[:, :2]).prod(1)
    part = (clipped[:, 2:] - clipped[:, :2]).prod(1)
    return torch.where(whole > 0, 1 - part / torch.where(whole > 0, whole, 1.0), 1.0).clamp(0, 1)


def _before_camera(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Ends ``(N, 24, 3)`` of the edges' parts at a depth of ``NEAR`` or more, and which edges have one."""
    cut = []
    for here, there in ((start, end), (end, start)):
        slope = there[..., 2] - here[..., 2]
        t = (NEAR - here[..., 2]) / torch.where(slope == 0, 1.0, slope)
        behind = (here[..., 2] < NEAR)[..., None]
        cut.append(torch.where(behind, here + t[..., None] * (there - here), here))
    valid = (start[..., 2] >= NEAR) | (end[..., 2] >= NEAR)
    return torch.cat(cut, dim=1), valid.repeat(1, 2)
