"""Pictures of voxel grids of colour and density from any camera, by the discrete emission-absorption rule.

A grid (X, Y, Z, 4) holds straight red, green, blue and an extinction (1 / length) at the centres of its
voxels, ``origin + (index + 0.5) * spacing``; between them all four are trilinear, beyond the outermost ones
those of the edge, and a negative extinction counts as none (Fridovich-Keil et al., "Plenoxels", CVPR 2022,
section 3.1). Rays are cut into intervals as those of :func:`dense3d.ops.cast_rays`, sampled once in each, and
composited as by :func:`dense3d.ops.composite`.

With a ``shell`` s the grid shows all of space (Barron et al., "Mip-NeRF 360", CVPR 2022, equation 10, with
the maximum norm): its middle, 1 / (1 + s) of each side, is a box as it is; a place outside at p, in halves of
that box and with the largest coordinate m > 1, is sampled at ``(1 + s - s / m) p / m``. Intervals grow there
by ``g = max(1, m^2 / s)``, so that they are one step long in the grid, and extinction there is one of lengths
in the grid: that of the world is ``1 / g`` of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.volume_rendering import alpha_from_extinction, composite_reference, numba_unavailable
from dense3d.ops.volume_rendering_rays import intersect_box, sample_volume

BRICK = 8
SAMPLES_AT_ONCE = 1 << 22


class Rendered(NamedTuple):
    """What :func:`render_grid` gives for rays of any batch shape ``(...)``."""

    values: Tensor  # (..., 3), premultiplied; the background is in it
    opacity: Tensor  # (...), the share of the light that the grid holds back
    distance: Tensor  # (...), distances along the ray, weighted as colours are; 0 where nothing is seen

    @property
    def depth(self) -> Tensor:
        """``(...)``: mean distance of what is seen; infinite where nothing is."""
        seen = self.opacity > 0
        return torch.where(seen, self.distance / torch.where(seen, self.opacity, 1), torch.inf)


class March(NamedTuple):
    """How all rays go through a grid."""

    origin: Tensor  # (3,) float64, lower corner of the first voxel
    spacing: Tensor  # (3,) float64
    step: float
    far: float
    shell: float  # 0: nothing is outside
    min_transmittance: float


class Rays(NamedTuple):
    """R rays, float64 on the compiled path."""

    origins: Tensor  # (R, 3)
    directions: Tensor  # (R, 3)
    near: Tensor  # (R,)
    interval: Tensor  # (R,), in a box
    counts: Tensor  # (R,), of intervals in a box
    offsets: Tensor  # (R,), share of an interval at which it is sampled


def render_grid(
    grid: Tensor,
    origins: Tensor,
    directions: Tensor,
    *,
    origin: Tensor,
    spacing: Tensor,
    step: float,
    background: Tensor | None = None,
    near: float = 0.0,
    far: float = math.inf,
    shell: float = 0.0,
    offsets: Tensor | None = None,
    occupied: Tensor | None = None,
    min_transmittance: float = 0.0,
    backend: str | None = None,
) -> Rendered:
    """Colour, opacity and distance of rays through a grid of colour and density.

    On a CPU a compiled path leaves out bricks of 8^3 cells without density; samples, and so the result, are
    the same. It differentiates by the grid and the background; where a ray asks for a gradient, the reference
    runs. Gradients do not depend on the number of threads.

    Args:
        grid: (X, Y, Z, 4), or (B, X, Y, Z, 4) for rays (B, ..., 3): red, green, blue, extinction in 1 / world
            unit.
        origins: (..., 3) in world units.
        directions: (..., 3), of length one.
        origin: (3,) lower corner of the first voxel.
        spacing: (3,) sizes of a voxel.
        step: at most this long are the intervals in the box, in world units.
        background: (3,) or (..., 3), seen through what is left; black unless given.
        near, far: distances along the rays between which the grid is seen.
        shell: above 0, the outer part of the grid shows all that is outside of the inner one; needs a finite
            ``far``.
        offsets: (...) in 0..1, at which share of its intervals a ray is sampled; the middle unless given.
        occupied: bool (ceil(X / 8), ceil(Y / 8), ceil(Z / 8)), bricks whose samples count, of each grid the
            same; all unless given. See :func:`grid_occupancy`.
        min_transmittance: early termination, as in :func:`dense3d.ops.composite`.
        backend: take this implementation: ``"numba"`` or ``"reference"``.

    Returns:
        values, opacity and distance, of the grid's dtype.

    Raises:
        ValueError: shapes do not fit, or a number is out of range.

    Example:
        >>> fog = torch.tensor([1.0, 0.5, 0.0, 0.5]).expand(2, 2, 2, 4)
        >>> ray = torch.tensor([[-1.0, 1, 1]]), torch.tensor([[1.0, 0, 0]])
        >>> found = render_grid(fog, *ray, origin=torch.zeros(3), spacing=torch.ones(3), step=0.1)
        >>> found.values, found.opacity
        (tensor([[0.6321, 0.3161, 0.0000]]), tensor([0.6321]))
    """
    _check(grid, origins, directions, offsets, occupied)
    _check_numbers(step, near, far, shell)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (origins, directions, origin, spacing)):
        backend = backend or "reference"
    chosen = select_backend("render_grid", grid.device.type, backend)
    place = (part.to(grid.device, torch.float64) for part in (origin, spacing))
    march = March(*place, float(step), float(far), float(shell), float(min_transmittance))
    batched = grid.dim() == 5
    parts = []
    for b, one in enumerate(grid if batched else [grid]):
        own = [part[b] if batched and part is not None else part for part in (origins, directions, offsets)]
        flat = chosen.implementation(one, _rays(one, *own, near, march), march, occupied)  # (R, 5)
        parts.append(flat.to(grid.dtype).reshape(*own[0].shape[:-1], 5))
    found = (torch.stack(parts) if parts else grid.new_zeros(*origins.shape[:-1], 5)) if batched else parts[0]
    values = found[..., :3]
    if background is not None:
        values = values + found[..., 4:] * background.to(found)
    return Rendered(values, 1 - found[..., 4], found[..., 3])


def render_grid_reference(grid: Tensor, origins: Tensor, directions: Tensor, **options) -> Rendered:
    """:func:`render_grid` in torch on any device: it defines the result, and differentiates.

    With respect to the grid, the background, and the rays; the number of intervals is held fixed, and so are
    the intervals themselves where there is a shell.
    """
    return render_grid(grid, origins, directions, backend="reference", **options)


def grid_occupancy(grid: Tensor) -> Tensor:
    """bool (ceil(X / 8), ceil(Y / 8), ceil(Z / 8)): bricks in which a sample can meet any density.

    Args:
        grid: (X, Y, Z, 4).

    Example:
        >>> grid = torch.zeros(9, 8, 8, 4)
        >>> grid[8, 0, 0, 3] = 1.0
        >>> grid_occupancy(grid).flatten()  # the first brick's last cell reaches that voxel
        tensor([True, True])
    """
    if grid.device.type == "cpu" and numba_unavailable() is None:
        from dense3d.ops.grid_rendering_cpu import occupied_bricks

        return occupied_bricks(grid)
    density = grid.detach()[..., 3]
    ends = [(-(-count // BRICK)) * BRICK + 1 - count for count in density.shape]
    padded = F.pad(density[None, None], (0, ends[2], 0, ends[1], 0, ends[0]), value=-torch.inf)
    return F.max_pool3d(padded, BRICK + 1, BRICK)[0, 0] > 0


def contracted_places(points: Tensor, origin: Tensor, size: Tensor, shell: float) -> Tensor:
    """Where a grid with a shell holds what is at world points; the same points without one.

    Args:
        points: (..., 3).
        origin: (3,) lower corner of the whole grid.
        size: (3,) sides of the whole grid.
        shell: see :mod:`the module <dense3d.ops.grid_rendering>`.

    Example:
        >>> outside = torch.tensor([[3.0, 0.0, 0.0]])
        >>> contracted_places(outside, torch.full((3,), -2.0), torch.full((3,), 4.0), shell=1.0)
        tensor([[1.6667, 0.0000, 0.0000]])
    """
    if not shell > 0:
        return points
    centre, half = origin + size / 2, size / 2 / (1 + shell)
    inner = (points - centre) / half
    radius = inner.abs().amax(-1, keepdim=True).clamp(min=1)
    return centre + half * (1 + shell - shell / radius) * inner / radius


def growth_outside(points: Tensor, origin: Tensor, size: Tensor, shell: float) -> Tensor:
    """(...) how much longer intervals are at world points (..., 3) than in the box; 1 without a shell.

    Args:
        points, origin, size, shell: as for :func:`contracted_places`.
    """
    if not shell > 0:
        return torch.ones_like(points[..., 0])
    radius = ((points - origin - size / 2) / (size / 2 / (1 + shell))).abs().amax(-1)
    return torch.where(radius > 1, (radius**2 / shell).clamp(min=1), 1)


def _rays(grid, origins, directions, offsets, near, march: March) -> Rays:
    """Rays with their ways, in float64: a step more or less by rounding would be seen."""
    flat = [tensor.to(grid.device, torch.float64).reshape(-1, 3) for tensor in (origins, directions)]
    count = len(flat[0])
    if offsets is None:
        shares = flat[0].new_full((count,), 0.5)
    else:
        shares = offsets.detach().to(flat[0]).reshape(count)
    if march.shell > 0:
        start = flat[0].new_full((count,), float(near))
        return Rays(*flat, start, start.new_zeros(count), start.new_zeros(count).long(), shares)
    size = march.spacing * torch.tensor(grid.shape[:3], dtype=torch.float64, device=grid.device)
    enter, leave = intersect_box(*flat, march.origin, march.origin + size)
    enter, leave = enter.clamp(min=near), leave.clamp(max=march.far)
    length = torch.where(leave > enter, leave - enter, 0)
    counts = torch.ceil(length.detach() / march.step - 1e-9).clamp(min=0).long()
    return Rays(*flat, enter, length / counts.clamp(min=1), counts, shares)


def _in_torch(grid: Tensor, rays: Rays, march: March, occupied: Tensor | None) -> Tensor:
    """(R, 5) colours, distance and the light that is left."""
    if not len(rays.origins):
        return grid.new_zeros(0, 5)
    rows = max(1, SAMPLES_AT_ONCE // max(1, int(rays.counts.max()), 512 if march.shell > 0 else 1))
    split = zip(*(tensor.split(rows) for tensor in rays))
    return torch.cat([_some(grid, Rays(*some), march, occupied) for some in split])


def _some(grid: Tensor, rays: Rays, march: March, occupied: Tensor | None) -> Tensor:
    begins, lengths, thicknesses = _intervals(grid, rays, march)  # (R, S)
    middles = begins + rays.offsets[:, None] * lengths
    points = rays.origins[:, None] + middles[..., None] * rays.directions[:, None]  # (R, S, 3)
    shape = torch.tensor(grid.shape[:3], dtype=torch.float64, device=grid.device)
    points = contracted_places(points, march.origin, march.spacing * shape, march.shell)
    samples = sample_volume(grid.movedim(-1, 0), points, march.origin, march.spacing)  # (R, S, 4)
    density = torch.where(samples[..., 3] > 0, samples[..., 3], 0)
    if occupied is not None:
        voxels = (points - march.origin) / march.spacing - 0.5
        bricks = torch.minimum(voxels.detach().clamp(min=0), shape - 1).long() // BRICK
        density = torch.where(occupied[tuple(bricks.unbind(-1))], density, 0)
    alpha = alpha_from_extinction(density, thicknesses.to(density))
    values = torch.cat([samples[..., :3], middles[..., None].to(samples)], -1)
    found = composite_reference(values, alpha, None, march.min_transmittance)
    return torch.cat([found.values, found.transmittance[:, None]], -1)


def _intervals(grid: Tensor, rays: Rays, march: March) -> tuple[Tensor, Tensor, Tensor]:
    """Begins, lengths, and lengths in the grid (R, S); those beyond a ray's own have length 0."""
    if not march.shell > 0:
        index = torch.arange(max(1, int(rays.counts.max())), device=grid.device)
        lengths = torch.where(index < rays.counts[:, None], rays.interval[:, None], 0)
        return rays.near[:, None] + index * rays.interval[:, None], lengths, lengths
    size = march.spacing * torch.tensor(grid.shape[:3], dtype=torch.float64, device=grid.device)
    begins, lengths, thicknesses = [], [], []
    with torch.no_grad():
        at = rays.near
        while not begins or bool((lengths[-1] > 0).any()):
            places = rays.origins + at[:, None] * rays.directions
            growth = growth_outside(places, march.origin, size, march.shell)
            begins.append(at)
            lengths.append(torch.minimum(march.step * growth, march.far - at).clamp(min=0))
            thicknesses.append(lengths[-1] / growth)
            at = at + lengths[-1]
    return tuple(torch.stack(parts, -1) for parts in (begins, lengths, thicknesses))


def _check(grid: Tensor, origins: Tensor, directions: Tensor, offsets, occupied) -> None:
    if grid.dim() not in (4, 5) or grid.shape[-1] != 4 or not grid.is_floating_point():
        raise ValueError(
            "render_grid needs a floating-point grid (X, Y, Z, 4) of red, green, blue and density, or a "
            f"batch of them, not {tuple(grid.shape)} {grid.dtype}"
        )
    if 0 in grid.shape[-4:]:
        raise ValueError(f"render_grid needs at least one voxel a side, not {tuple(grid.shape)}")
    if origins.shape != directions.shape or origins.shape[-1:] != (3,):
        raise ValueError(
            f"rays are (..., 3) origins and directions, not {tuple(origins.shape)} and "
            f"{tuple(directions.shape)}"
        )
    if grid.dim() == 5 and (origins.dim() < 2 or len(origins) != len(grid)):
        raise ValueError(f"{len(grid)} grids need rays ({len(grid)}, ..., 3), not {tuple(origins.shape)}")
    if offsets is not None and offsets.shape != origins.shape[:-1]:
        raise ValueError(f"one offset a ray: {tuple(origins.shape[:-1])}, not {tuple(offsets.shape)}")
    bricks = tuple(-(-count // BRICK) for count in grid.shape[-4:-1])
    if occupied is not None and (tuple(occupied.shape) != bricks or occupied.dtype != torch.bool):
        raise ValueError(f"occupied is bool {bricks}, not {tuple(occupied.shape)} {occupied.dtype}")


def _check_numbers(step: float, near: float, far: float, shell: float) -> None:
    if not 0 < step < math.inf:
        raise ValueError(f"step must be positive and finite, not {step}")
    if not 0 <= near < far:
        raise ValueError(f"near must be at least 0 and below far, not near={near}, far={far}")
    if not 0 <= shell < math.inf or (shell > 0 and far == math.inf):
        raise ValueError(f"a shell is at least 0, and needs a finite far; not shell={shell}, far={far}")


def _by_numba(grid: Tensor, rays: Rays, march: March, occupied: Tensor | None) -> Tensor:
    from dense3d.ops.grid_rendering_cpu import render_flat

    detached = Rays(*(tensor.detach() for tensor in rays))
    return render_flat(grid, detached, march, occupied)


register_backend("render_grid", "numba", device="cpu", implementation=_by_numba, available=numba_unavailable)
register_backend("render_grid", "reference", implementation=_in_torch)
