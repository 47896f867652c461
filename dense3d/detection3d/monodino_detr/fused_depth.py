"""Depth of an object as the mean of three estimates (MonoDETR, ICCV 2023, section 3.4).

It is regressed; it follows from the heights of the 3D and the 2D box by the pinhole model; and it is read
from the depth map at the object's centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass
class Camera:
    """What geometry needs to know of each image of a batch."""

    focal: Tensor  # (B,) pixels
    image_height: Tensor  # (B,) pixels of the original image


def fused_depth(
    regressed: Tensor, heights: Tensor, boxes: Tensor, expected_depth: Tensor, camera: Camera
) -> Tensor:
    """Mean of the three estimates, ``(B, Q)`` in metres.

    Args:
        regressed: ``(B, Q)``, before :func:`regressed_depth`.
        heights: ``(B, Q)`` of the 3D boxes in metres.
        boxes: ``(B, Q, 6)``, see :mod:`dense3d.detection3d.monodino_detr.boxes`.
        expected_depth: ``(B, h, w)`` metres.
        camera: of the batch.
    """
    estimates = (
        regressed_depth(regressed),
        geometric_depth(heights, boxes, camera),
        map_depth(expected_depth, boxes),
    )
    return sum(estimates) / 3


def regressed_depth(value: Tensor) -> Tensor:
    """``1 / sigmoid(value) - 1``: exponentially falling, 1 m at 0.

    Example:
        >>> import torch
        >>> regressed_depth(torch.tensor([0.0, -3.0])).round(decimals=1).tolist()
        [1.0, 20.100000381469727]
    """
    return 1 / (value.float().sigmoid() + 1e-6) - 1


def geometric_depth(heights: Tensor, boxes: Tensor, camera: Camera) -> Tensor:
    """``focal * height / height of the 2D box in pixels``, which counts as one pixel at least: ``(B, Q)``.

    Gradients reach both heights.

    Example:
        >>> import torch
        >>> camera = Camera(torch.tensor([700.0]), torch.tensor([400.0]))
        >>> box = torch.tensor([[[0.5, 0.5, 0.1, 0.1, 0.125, 0.125]]])  # 100 pixels high
        >>> geometric_depth(torch.tensor([[1.5]]), box, camera).tolist()
        [[10.5]]
    """
    pixels = (boxes[..., 4] + boxes[..., 5]) * camera.image_height[:, None]
    return heights * camera.focal[:, None] / pixels.clamp(min=1.0)


def map_depth(expected_depth: Tensor, boxes: Tensor) -> Tensor:
    """The depth map at the centres, ``(B, Q)``: bilinear, its corners at those of the image, 0 outside.

    Gradients reach the map alone.
    """
    grid = boxes[..., :2].detach()[:, :, None] * 2 - 1  # (B, Q, 1, 2)
    sampled = F.grid_sample(expected_depth[:, None], grid.to(expected_depth.dtype), align_corners=True)
    return sampled[:, 0, :, 0]
