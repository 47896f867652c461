"""Rays of cameras that look at a target, their way through a box, and the scalars that they meet there.

A volume of shape (X, Y, Z) fills the box ``[origin, origin + shape * spacing]``; the centre of voxel
(i, j, k) is at ``origin + (index + 0.5) * spacing``. Between centres values are trilinear, and beyond the
outermost centres those of the edge. Everything differentiates.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def camera_rays(
    eye: Tensor,
    target: Tensor,
    up: Tensor,
    image_size: tuple[int, int],
    *,
    fov_y: float | None = None,
    height: float | None = None,
) -> tuple[Tensor, Tensor]:
    """One ray through the centre of every pixel.

    With f = normalise(target - eye), right = normalise(f x up) and up' = right x f, the pixel of row i and
    column j lies at v = 1 - 2 (i + 0.5) / H, u = 2 (j + 0.5) / W - 1; horizontal extents are W / H times the
    vertical ones.

    Args:
        eye: (3,) where the camera is.
        target: (3,) what it looks at.
        up: (3,) a direction that is up in the picture; not parallel to the view.
        image_size: (H, W).
        fov_y: vertical field of view in degrees, of a perspective camera: rays start at the eye.
        height: vertical extent in world units, of an orthographic camera: all rays have the direction f.

    Returns:
        origins and unit directions, (H, W, 3) each, of the dtype of ``eye``.

    Raises:
        ValueError: not exactly one of ``fov_y`` and ``height`` is given.

    Example:
        >>> eye, target, up = torch.tensor([[0.0, -2, 0], [0, 0, 0], [0, 0, 1]])
        >>> origins, directions = camera_rays(eye, target, up, (2, 2), height=2.0)
        >>> origins[0, 0].tolist(), directions[0, 0].tolist()
        ([-0.5, -2.0, 0.5], [0.0, 1.0, 0.0])
    """
    if (fov_y is None) == (height is None):
        raise ValueError("a camera is perspective (fov_y) or orthographic (height): give one of the two")
    forward = F.normalize(target - eye, dim=0)
    right = F.normalize(torch.linalg.cross(forward, up), dim=0)
    above = torch.linalg.cross(right, forward)
    rows, columns = image_size
    v = 1 - 2 * (torch.arange(rows, dtype=eye.dtype, device=eye.device) + 0.5) / rows
    u = (2 * (torch.arange(columns, dtype=eye.dtype, device=eye.device) + 0.5) / columns - 1) * columns / rows
    offsets = u[None, :, None] * right + v[:, None, None] * above  # (H, W, 3)
    if height is not None:
        return eye + offsets * (height / 2), forward.expand(rows, columns, 3)
    directions = forward + offsets * math.tan(math.radians(float(fov_y)) / 2)
    return eye.expand(rows, columns, 3), F.normalize(directions, dim=-1)


def intersect_box(origins: Tensor, directions: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave a box whose sides are parallel to the axes (slab method).

    Args:
        origins: (..., 3).
        directions: (..., 3); distances are multiples of their length.
        low: (3,) lower corner of the box.
        high: (3,) upper corner.

    Returns:
        near and far, (...) each; near is 0 for rays that start inside; both are -1 where the box is missed.

    Example:
        >>> ray = torch.tensor([[-2.0, 0, 0]]), torch.tensor([[1.0, 0, 0]])
        >>> intersect_box(*ray, -torch.ones(3), torch.ones(3))
        (tensor([1.]), tensor([3.]))
    """
    parallel = directions == 0
    slope = torch.where(parallel, 1, directions)
    first, second = (low - origins) / slope, (high - origins) / slope
    within = (origins >= low) & (origins <= high)
    infinite = torch.where(within, torch.inf, -torch.inf).to(origins)
    entry = torch.where(parallel, -infinite, torch.minimum(first, second)).amax(-1).clamp(min=0)
    leave = torch.where(parallel, infinite, torch.maximum(first, second)).amin(-1)
    hit = entry < leave
    return torch.where(hit, entry, -1), torch.where(hit, leave, -1)


def sample_volume(volume: Tensor, points: Tensor, origin: Tensor, spacing: Tensor) -> Tensor:
    """Trilinear values at points, those of the edge outside.

    Args:
        volume: (X, Y, Z), or (C, X, Y, Z) with several values a voxel.
        points: (..., 3) in world units.
        origin: (3,) lower corner of the first voxel.
        spacing: (3,) sizes of a voxel.

    Returns:
        (...) or (..., C).

    Example:
        >>> ramp = torch.arange(4.0).reshape(4, 1, 1)
        >>> points = torch.tensor([[0.5, 0.5, 0.5], [1.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
        >>> sample_volume(ramp, points, torch.zeros(3), torch.ones(3))
        tensor([0.0000, 0.5000, 3.0000])
    """
    channels = volume if volume.dim() == 4 else volume[None]
    size = spacing * torch.tensor(channels.shape[1:], dtype=spacing.dtype, device=spacing.device)
    grid = (
        (2 * (points - origin) / size - 1).flip(-1).to(channels.dtype)
    )  # grid_sample wants the last axis first
    sampled = F.grid_sample(
        channels[None], grid.reshape(1, 1, 1, -1, 3), padding_mode="border", align_corners=False
    )
    sampled = sampled.reshape(len(channels), *points.shape[:-1])
    return sampled.movedim(0, -1) if volume.dim() == 4 else sampled[0]


def sample_gradient(volume: Tensor, points: Tensor, origin: Tensor, spacing: Tensor) -> Tensor:
    """Central differences of the interpolated volume, one voxel to each side.

    Args:
        volume: (X, Y, Z).
        points: (..., 3) in world units.
        origin: (3,) lower corner of the first voxel.
        spacing: (3,) sizes of a voxel.

    Returns:
        (..., 3), change of the value per world unit.
    """
    offsets = torch.diag(spacing).to(points)  # (3, 3)
    sides = (points[..., None, :] + offsets, points[..., None, :] - offsets)
    ahead, behind = (sample_volume(volume, side, origin, spacing) for side in sides)
    return (ahead - behind) / (2 * spacing).to(ahead)
