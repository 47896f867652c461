"""Ray casting of a scalar volume through a transfer function, by the discrete emission-absorption rule.

A ray of length L in the volume's box is cut into ``n = ceil(L / step - 1e-9)`` equal intervals of length
dt = L / n. The scalar is interpolated at the middle of each interval, then classified (post-classification),
and has the opacity ``1 - exp(-extinction dt)``; samples are composited front to back.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.volume_rendering import alpha_from_extinction, composite_reference, numba_unavailable
from dense3d.ops.volume_rendering_rays import intersect_box, sample_volume
from dense3d.ops.volume_rendering_tables import piecewise_linear

SAMPLES_AT_ONCE = 1 << 22


def cast_rays(
    volume: Tensor,
    origins: Tensor,
    directions: Tensor,
    positions: Tensor,
    rgb_extinction: Tensor,
    *,
    origin: Tensor,
    spacing: Tensor,
    step: float,
    min_transmittance: float = 0.0,
    backend: str | None = None,
) -> Tensor:
    """Colour and opacity of rays through a volume (conventions of places: :mod:`.volume_rendering_rays`).

    On a CPU a compiled path runs where no gradient is asked for. It leaves out bricks of 8^3 cells in which
    the transfer function is transparent; its samples are the same ones, and so is the result.

    Args:
        volume: (X, Y, Z) floating point.
        origins: (..., 3) in world units.
        directions: (..., 3), of length one.
        positions: (P,) scalars of the control points of the transfer function, ascending.
        rgb_extinction: (P, 4) straight colour and extinction in 1 / world unit at the control points.
        origin: (3,) lower corner of the first voxel.
        spacing: (3,) sizes of a voxel.
        step: at most this long are the intervals, in world units.
        min_transmittance: early termination, as in :func:`dense3d.ops.composite`.
        backend: take this implementation: ``"numba"`` or ``"reference"``.

    Returns:
        (..., 4) premultiplied red, green, blue, and opacity, of the volume's dtype.

    Raises:
        ValueError: shapes do not fit, the step is not positive, or positions do not ascend.

    Example:
        >>> box = dict(origin=torch.zeros(3), spacing=torch.ones(3))
        >>> medium = torch.zeros(1), torch.tensor([[1.0, 1.0, 1.0, 0.5]])
        >>> ray = torch.tensor([[-1.0, 1, 1]]), torch.tensor([[1.0, 0, 0]])
        >>> cast_rays(torch.zeros(2, 2, 2), *ray, *medium, **box, step=0.1)
        tensor([[0.6321, 0.6321, 0.6321, 0.6321]])
    """
    _check(volume, origins, directions, positions, rgb_extinction, step)
    tensors = (volume, origins, directions, positions, rgb_extinction, origin, spacing)
    if backend is None and torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        backend = "reference"
    chosen = select_backend("cast_rays", volume.device.type, backend)
    box = {"origin": origin.to(volume.device), "spacing": spacing.to(volume.device)}
    geometry = dict(box, step=step, min_transmittance=min_transmittance)
    return chosen.implementation(volume, origins, directions, positions, rgb_extinction, **geometry)


def cast_rays_reference(
    volume: Tensor,
    origins: Tensor,
    directions: Tensor,
    positions: Tensor,
    rgb_extinction: Tensor,
    *,
    origin: Tensor,
    spacing: Tensor,
    step: float,
    min_transmittance: float = 0.0,
) -> Tensor:
    """:func:`cast_rays` in torch on any device: it defines the result, and differentiates.

    With respect to everything but ``step``; the number of intervals is held fixed.
    """
    size = spacing * torch.tensor(volume.shape, dtype=spacing.dtype, device=spacing.device)
    flat = origins.reshape(-1, 3), directions.reshape(-1, 3)
    near, far = intersect_box(*flat, origin, origin + size)
    length = far - near
    counts = interval_counts(length, step)
    place = origin, spacing
    rows = max(1, SAMPLES_AT_ONCE // max(1, int(counts.max()) if len(counts) else 1))
    parts = [
        _cast(volume, *part, positions, rgb_extinction, place, min_transmittance)
        for part in zip(*(tensor.split(rows) for tensor in (*flat, near, length, counts)))
    ]
    return torch.cat(parts).reshape(*origins.shape[:-1], 4)


def interval_counts(length: Tensor, step: float) -> Tensor:
    """``(...)`` int64: into how many intervals ways of this length are cut; 0 where there is no way."""
    return torch.ceil(length.detach() / step - 1e-9).clamp(min=0).long()


def _cast(
    volume, origins, directions, near, length, counts, positions, rows, place, min_transmittance
) -> Tensor:
    """``(R, 4)``: all rays to the largest count; what is beyond a ray's own has no opacity."""
    index = torch.arange(max(1, int(counts.max())), device=counts.device)  # (S,)
    interval = length / counts.clamp(min=1)
    distance = near[:, None] + (index + 0.5) * interval[:, None]  # (R, S)
    points = origins[:, None] + distance[..., None] * directions[:, None]
    samples = piecewise_linear(sample_volume(volume, points, *place), positions, rows)  # (R, S, 4)
    alpha = alpha_from_extinction(samples[..., 3], interval[:, None].to(samples))
    alpha = torch.where(index < counts[:, None], alpha, 0)
    result = composite_reference(samples[..., :3], alpha, None, min_transmittance)
    return torch.cat([result.values, result.opacity[:, None]], -1).to(volume.dtype)


def _check(volume, origins, directions, positions, rgb_extinction, step) -> None:
    if volume.dim() != 3 or not volume.is_floating_point():
        raise ValueError(
            f"cast_rays needs a floating-point volume (X, Y, Z), not {tuple(volume.shape)} {volume.dtype}"
        )
    if origins.shape != directions.shape or origins.shape[-1:] != (3,):
        raise ValueError(
            f"rays are (..., 3) origins and directions, not {tuple(origins.shape)} and "
            f"{tuple(directions.shape)}"
        )
    if positions.dim() != 1 or rgb_extinction.shape != (len(positions), 4) or not len(positions):
        raise ValueError(
            f"a transfer function has positions (P,) and rows (P, 4), not {tuple(positions.shape)} and "
            f"{tuple(rgb_extinction.shape)}"
        )
    if bool((positions.diff() < 0).any()):
        raise ValueError("positions of a transfer function must ascend")
    if not step > 0:
        raise ValueError(f"step must be positive, not {step}")


def _cast_rays_numba(volume, origins, directions, positions, rgb_extinction, **geometry) -> Tensor:
    from dense3d.ops.volume_rendering_cpu import cast

    return cast(volume, origins, directions, positions, rgb_extinction, **geometry)


register_backend(
    "cast_rays", "numba", device="cpu", implementation=_cast_rays_numba, available=numba_unavailable
)
register_backend("cast_rays", "reference", implementation=cast_rays_reference)
