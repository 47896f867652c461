"""Which location of a pyramid answers for which box: assignment of the anchor-free head.

Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, section 3, in three dimensions
as NeRF-RPN has it (Hu et al., CVPR 2023, section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dense3d.detection3d.nerf_rpn.box_codes import bounds_of, corner_offsets

LEVEL_RANGES = ((-1.0, 16.0), (16.0, 32.0), (32.0, 64.0), (64.0, torch.inf))
PAIRS_AT_ONCE = 4_000_000  # bounds the memory


@dataclass
class LocationTargets:
    """Targets of the locations of one level, ``N`` in all of a batch's scenes, scene by scene.

    Attributes:
        positive: ``(N,)`` bool.
        codes: ``(N, 8)`` or ``(N, 6)``, see :mod:`~dense3d.detection3d.nerf_rpn.box_codes`; what belongs to a
            location that is not positive has no meaning.
    """

    positive: Tensor
    codes: Tensor

    def centreness(self) -> Tensor:
        """How central positive locations lie in their boxes: ``(P,)`` in 0..1, FCOS equation 3."""
        distances = self.codes[self.positive, :6]
        return centreness(distances)


def centreness(distances: Tensor) -> Tensor:
    """Root of the product over the axes of the shorter over the longer distance.

    Args:
        distances: ``(P, 6)`` to the least x, y and z of a box, then to the greatest.

    Example:
        >>> centreness(torch.tensor([[1.0, 2.0, 2.0, 4.0, 2.0, 2.0]])).tolist()
        [0.5]
    """
    ahead, behind = distances[:, :3], distances[:, 3:6]
    return (torch.minimum(ahead, behind) / torch.maximum(ahead, behind)).prod(1).sqrt()


def level_locations(shape: Sequence[int], stride: int, device: torch.device) -> Tensor:
    """``(N, 3)`` places in voxels of the cells of a level, z fastest: ``i * stride + stride // 2``.

    Example:
        >>> level_locations((1, 1, 2), 4, torch.device("cpu")).tolist()
        [[2.0, 2.0, 2.0], [2.0, 2.0, 6.0]]
    """
    axes = [torch.arange(side, dtype=torch.float32, device=device) * stride + stride // 2 for side in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, 3)


def inside(locations: Tensor, sizes: Tensor) -> Tensor:
    """``(B, N)`` whether locations lie in the grids before padding.

    Args:
        locations: ``(N, 3)`` in voxels.
        sizes: ``(B, 3)`` of the grids.
    """
    return (locations[None] < sizes[:, None].to(locations)).all(-1)


def assign_locations(
    locations: Tensor,
    boxes: Tensor,
    stride: int,
    size_range: tuple[float, float],
    radius: float,
    rotated: bool,
) -> tuple[Tensor, Tensor]:
    """Targets of the locations of one level in one scene.

    A location may answer for a box if it lies within it, and within ``radius`` strides of its centre, and the
    greatest distance to its bounds lies in the level's range; of several such boxes it takes the smallest.

    Args:
        locations: ``(N, 3)`` in voxels.
        boxes: ``(K, 7)``.
        stride: of the level.
        size_range: of the level, in voxels, both ends included.
        radius: in strides; not positive to allow all locations within a box's bounds.
        rotated: also say how boxes are turned.

    Returns:
        ``(N,)`` bool, and codes ``(N, 8)`` or ``(N, 6)`` in voxels.
    """
    codes = locations.new_zeros(len(locations), 8 if rotated else 6)
    positive = torch.zeros(len(locations), dtype=torch.bool, device=locations.device)
    if not len(boxes):
        return positive, codes
    at_once = max(1, PAIRS_AT_ONCE // len(boxes))
    found = [_smallest(part, boxes, stride, size_range, radius) for part in locations.split(at_once)]
    positive, best = (torch.cat(parts) for parts in zip(*found))
    bounds = bounds_of(boxes)[best]  # (N, 6)
    codes[:, :6] = torch.cat([locations - bounds[:, :3], bounds[:, 3:] - locations], 1)
    if rotated:
        codes[:, 6:] = corner_offsets(boxes)[best]
    return positive, codes


def _smallest(
    locations: Tensor, boxes: Tensor, stride: int, size_range: tuple[float, float], radius: float
) -> tuple[Tensor, Tensor]:
    """Whether each location answers for a box, and for which."""
    bounds = bounds_of(boxes)
    low, high = bounds[:, :3], bounds[:, 3:]
    places = locations[:, None]  # (N, 1, 3)
    distances = torch.cat([places - low, high - places], -1)  # (N, K, 6)
    greatest = distances.amax(-1)
    fits = (greatest >= size_range[0]) & (greatest <= size_range[1])
    if radius > 0:
        centre = (low + high) / 2
        low, high = (
            torch.maximum(centre - radius * stride, low),
            torch.minimum(centre + radius * stride, high),
        )
        fits &= ((places > low) & (places < high)).all(-1)
    else:
        fits &= distances.amin(-1) > 0
    volume = (bounds[:, 3:] - bounds[:, :3]).prod(1).expand_as(greatest)
    least, best = volume.masked_fill(~fits, torch.inf).min(1)
    return least.isfinite(), best
