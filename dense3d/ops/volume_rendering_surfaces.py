"""Iso-surfaces of a trilinear volume: the first point of a ray at which the value reaches a level.

Nothing is stepped over: rays are cut at the planes through voxel centres, and between two cuts the trilinear
value is a cubic polynomial of the way, whose extrema part it into at most three monotone pieces. The first
piece that reaches the level is bisected.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops.volume_rendering_rays import intersect_box, sample_gradient, sample_volume

BISECTIONS = 50  # float64 has 52 bits
CUTS_AT_ONCE = 1 << 20


def iso_surface(
    volume: Tensor, origins: Tensor, directions: Tensor, level: float, *, origin: Tensor, spacing: Tensor
) -> tuple[Tensor, Tensor]:
    """First points with a value of at least ``level``, and their normals.

    Args:
        volume: (X, Y, Z).
        origins: (..., 3) in world units.
        directions: (..., 3) of length one.
        level: the value that is looked for.
        origin: (3,) lower corner of the first voxel.
        spacing: (3,) sizes of a voxel.

    Returns:
        distances (...) float64, the entry of the box where the ray starts inside, and -1 where there is none;
        and normals (..., 3) float64: minus the central difference of the volume (one voxel to each side),
        of length one, zero where there is no surface or no gradient.

    Example:
        >>> ramp = torch.arange(4.0).reshape(4, 1, 1)
        >>> box = dict(origin=torch.zeros(3), spacing=torch.ones(3))
        >>> ray = torch.tensor([[-1.0, 0.5, 0.5]]), torch.tensor([[1.0, 0, 0]])
        >>> depth, normal = iso_surface(ramp, *ray, 1.5, **box)
        >>> round(depth.item(), 6), normal.tolist()
        (3.0, [[-1.0, 0.0, 0.0]])
    """
    volume, origin, spacing = volume.double(), origin.double(), spacing.double()
    flat = [tensor.double().reshape(-1, 3) for tensor in (origins, directions)]
    rows = max(1, CUTS_AT_ONCE // (sum(volume.shape) + 2))
    parts = [_first(volume, *part, level, origin, spacing) for part in zip(*(t.split(rows) for t in flat))]
    depth = torch.cat(parts)
    points = flat[0] + depth[:, None] * flat[1]
    normals = -F.normalize(sample_gradient(volume, points, origin, spacing), dim=-1)
    normals = torch.where(depth[:, None] < 0, 0, normals) + 0.0  # no minus zero
    batch = origins.shape[:-1]
    return depth.reshape(batch), normals.reshape(*batch, 3)


def _first(volume, origins, directions, level, origin, spacing) -> Tensor:
    """``(R,)`` distances."""
    size = spacing * torch.tensor(volume.shape).to(spacing)
    near, far = intersect_box(origins, directions, origin, origin + size)
    cuts = _cuts(volume.shape, origins, directions, near, far, origin, spacing)
    start, width = cuts[:, :-1], cuts.diff(dim=1)  # (R, M)
    thirds = torch.arange(4).to(cuts) / 3
    at = start[..., None] + width[..., None] * thirds
    points = origins[:, None, None] + at[..., None] * directions[:, None, None]
    cubic = _cubics(sample_volume(volume, points, origin, spacing) - level)
    ends = _monotone_ends(cubic)  # (R, M, 4): 0, extrema, 1
    reached = _at(cubic, ends) >= 0
    first_end = torch.where(reached, torch.arange(4).to(ends), 4).amin(-1)  # (R, M)
    found = (first_end < 4) & (width > 0)
    piece = torch.where(found, torch.arange(found.shape[1]).to(ends), found.shape[1]).amin(1).long()
    hit = (piece < found.shape[1]) & (near >= 0)
    piece = torch.where(hit, piece, 0)
    pick = torch.arange(len(piece), device=piece.device), piece
    end = first_end[pick].clamp(max=3).long()
    high = ends[pick].gather(1, end[:, None])[:, 0]
    low = ends[pick].gather(1, (end - 1).clamp(min=0)[:, None])[:, 0]
    cubic = cubic[pick]
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = _at(cubic, middle[:, None])[:, 0] >= 0
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return torch.where(hit, start[pick] + width[pick] * high, -1)


def _cuts(shape, origins, directions, near, far, origin, spacing) -> Tensor:
    """``(R, X + Y + Z + 2)`` ascending distances from near to far, at the planes through voxel centres."""
    distances = [near[:, None], far[:, None]]
    for axis, count in enumerate(shape):
        planes = origin[axis] + (torch.arange(count).to(origins) + 0.5) * spacing[axis]
        slope = directions[:, axis, None]
        at = (planes - origins[:, axis, None]) / torch.where(slope == 0, 1, slope)
        at = torch.where(slope == 0, near[:, None], at)
        distances.append(torch.maximum(torch.minimum(at, far[:, None]), near[:, None]))
    return torch.cat(distances, 1).sort(1).values


def _cubics(values: Tensor) -> Tensor:
    """``(..., 4)`` coefficients, constant first, of the cubics with these values at 0, 1/3, 2/3 and 1."""
    matrix = torch.linalg.inv(torch.vander(torch.arange(4).to(values) / 3, N=4, increasing=True))
    return values @ matrix.T


def _at(cubic: Tensor, places: Tensor) -> Tensor:
    """``(..., K)`` values at ``places`` (..., K) of cubics (..., 4)."""
    a, b, c, d = cubic[..., None].unbind(-2)
    return ((d * places + c) * places + b) * places + a


def _monotone_ends(cubic: Tensor) -> Tensor:
    """``(..., 4)`` ascending: 0, the extrema in between (or 1), 1."""
    _, b, c, d = cubic.unbind(-1)
    root = (c * c - 3 * d * b).clamp(min=0).sqrt()
    q = -(c + torch.where(c >= 0, root, -root))  # 3 d x^2 + 2 c x + b = 0 without cancellation
    first = q / torch.where(d == 0, 1, 3 * d)
    second = b / torch.where(q == 0, 1, q)
    extrema = torch.stack([torch.where(d == 0, 1, first), torch.where(q == 0, 1, second)], -1)
    extrema = torch.where((extrema > 0) & (extrema < 1), extrema, 1).sort(-1).values
    return torch.cat([torch.zeros_like(extrema[..., :1]), extrema, torch.ones_like(extrema[..., :1])], -1)
