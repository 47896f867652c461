"""Farthest point sampling: each next point is the one farthest from all that are chosen.

Eldar et al., "The farthest point strategy for progressive image sampling", IEEE Transactions on Image
Processing 6(9), 1997; in networks on clouds since Qi et al., "PointNet++", NeurIPS 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import point_cpu, point_cuda
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.point_checks import (
    Lengths,
    check_cloud,
    check_enough,
    check_finite,
    check_lengths,
    counted_points,
    working_dtype,
)

SKIPPED_NORM = 1e-3  # squared; in the unit of the points
OFFICIAL_START = 1e10  # of the running minima of squared distances


def farthest_point_sample(
    points: Tensor,
    num_samples: int,
    start: int | Tensor = 0,
    skip_origin: bool = False,
    lengths: Lengths = None,
    backend: str | None = None,
) -> Tensor:
    """Indices of points that cover each cloud evenly, in the order of choice.

    Of points that are equally far the lowest index is taken. Once every point coincides with a chosen one,
    that is the first point of all, again and again.

    Args:
        points: ``(B, N, 3)``, finite.
        num_samples: S, at most the number of points of every cloud.
        start: index of the first choice, for all clouds or ``(B,)``.
        skip_origin: the rule of the CUDA kernel of PointNet++, on which official networks were trained:
            points with ``x^2 + y^2 + z^2 <= 1e-3`` are never chosen (but as the first), and squared distances
            count up to 1e10. Where no other points are left index 0 is taken.
        lengths: ``(B,)``, how many first points of each cloud count; all of them unless given.
        backend: take this implementation: ``"numba"``, ``"triton"`` or ``"reference"``.

    Returns:
        ``(B, S)`` int64.

    Raises:
        DataError: a cloud has fewer points than samples, holds NaN, or ``start`` lies outside it.

    Example:
        >>> cloud = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [4.0, 0.0, 0.0], [9.0, 0.0, 0.0]]])
        >>> farthest_point_sample(cloud, 3).tolist()
        [[0, 3, 2]]
    """
    check_cloud(points)
    lengths = check_lengths(lengths, points)
    check_enough(points, lengths, num_samples, "farthest_point_sample")
    start = _check_start(start, points, lengths, num_samples)
    check_finite(points, lengths)
    if points.shape[0] == 0 or num_samples == 0:
        return start.new_zeros(points.shape[0], num_samples)
    chosen = select_backend("farthest_point_sample", points.device.type, backend)
    return chosen.implementation(points.detach(), num_samples, start, skip_origin, lengths)


def farthest_point_sample_reference(
    points: Tensor,
    num_samples: int,
    start: int | Tensor = 0,
    skip_origin: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    """The definition of :func:`farthest_point_sample`: the loop over samples in torch.

    Example:
        >>> cloud = torch.tensor([[[0.0, 0.0, 0.0], [0.01, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> farthest_point_sample_reference(cloud, 3, start=2).tolist()
        [[2, 1, 0]]
        >>> farthest_point_sample_reference(cloud, 3, start=2, skip_origin=True).tolist()
        [[2, 2, 2]]
    """
    x, y, z = points.to(working_dtype(points)).unbind(-1)  # (B, N)
    chosen = torch.zeros(len(points), num_samples, dtype=torch.long, device=points.device)
    latest = torch.as_tensor(start, device=points.device).expand(len(points))[:, None]  # (B, 1)
    nearest = torch.full_like(x, OFFICIAL_START if skip_origin else torch.inf)
    candidates = candidate_points(points, skip_origin, lengths)
    for sample in range(num_samples):
        chosen[:, sample] = latest[:, 0]
        dx, dy, dz = (axis - axis.gather(1, latest) for axis in (x, y, z))
        nearest = torch.minimum(nearest, dx * dx + dy * dy + dz * dz)
        value = nearest if candidates is None else torch.where(candidates, nearest, -1)
        latest = value.argmax(1, keepdim=True)
    return chosen


def candidate_points(points: Tensor, skip_origin: bool, lengths: Tensor | None) -> Tensor | None:
    """``(B, N)`` bool: which points may be chosen; ``None`` where all may."""
    counted = counted_points(points, lengths)
    if not skip_origin:
        return counted
    x, y, z = points.to(working_dtype(points)).unbind(-1)
    away = (x * x + y * y + z * z).double() > SKIPPED_NORM
    return away if counted is None else away & counted


def _check_start(start: int | Tensor, points: Tensor, lengths: Tensor | None, num_samples: int) -> Tensor:
    """``(B,)`` int64."""
    start = torch.as_tensor(start, device=points.device)
    if start.is_floating_point() or start.ndim > 1 or (start.ndim == 1 and len(start) != len(points)):
        raise DataError(
            f"start must be a whole number or {len(points)} of them, one a cloud, not {tuple(start.shape)} "
            f"of {start.dtype}"
        )
    start = start.long().expand(len(points)).contiguous()
    if num_samples and not start.is_meta:
        counts = points.shape[1] if lengths is None else lengths
        wrong = ((start < 0) | (start >= counts)).nonzero()
        if len(wrong):
            cloud = int(wrong[0])
            raise DataError(f"start {int(start[cloud])} lies outside of the points of cloud {cloud}")
    return start


register_backend(
    "farthest_point_sample",
    "numba",
    device="cpu",
    implementation=point_cpu.farthest_points,
    available=point_cpu.numba_unavailable,
)
register_backend(
    "farthest_point_sample",
    "triton",
    device="cuda",
    implementation=point_cuda.kernel("farthest_points"),
    available=point_cuda.triton_unavailable,
)
register_backend("farthest_point_sample", "reference", implementation=farthest_point_sample_reference)
