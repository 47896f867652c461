"""Neighbourhoods of points: those within a radius, and what is gathered for them.

Qi et al., "PointNet++", NeurIPS 2017, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import point_cpu, point_cuda
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.point_checks import (
    Lengths,
    check_finite,
    check_lengths,
    check_pair,
    counted_points,
    squared_distances,
    working_dtype,
)

PAIRS_AT_ONCE = 20_000_000  # bounds the memory of the reference


def ball_query(
    queries: Tensor,
    points: Tensor,
    radius: float,
    k: int,
    lengths: Lengths = None,
    backend: str | None = None,
) -> Tensor:
    """The first k points by index that lie nearer to each query than ``radius``.

    Places that stay empty repeat the first point found. A query without any (also of a cloud without points)
    gets index 0 everywhere, as the CUDA kernel of PointNet++ gives it.

    Args:
        queries: ``(B, M, 3)``, finite.
        points: ``(B, N, 3)``, finite.
        radius: in the unit of the points, positive; a point at exactly this distance does not count.
        k: places a query, at least 1; it may exceed the number of points.
        lengths: ``(B,)``, how many first points of each cloud count; all of them unless given.
        backend: take this implementation: ``"numba"``, ``"triton"`` or ``"reference"``.

    Returns:
        ``(B, M, k)`` int64.

    Raises:
        DataError: the radius or k is not positive, or something is not finite.

    Example:
        >>> points = torch.tensor([[[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.5, 0.0, 0.0]]])
        >>> ball_query(points[:, :2], points, radius=1.0, k=3).tolist()
        [[[0, 2, 0], [1, 1, 1]]]
    """
    check_pair(queries, points)
    if k < 1 or not radius > 0:
        raise DataError(f"ball_query needs a positive radius and k of at least 1, not {radius} and {k}")
    lengths = check_lengths(lengths, points)
    check_finite(queries, name="queries")
    check_finite(points, lengths)
    if 0 in (*queries.shape[:2], points.shape[1]):
        return queries.new_zeros(*queries.shape[:2], k, dtype=torch.long)
    dtype = working_dtype(queries, points)
    chosen = select_backend("ball_query", points.device.type, backend)
    return chosen.implementation(queries.detach().to(dtype), points.detach().to(dtype), radius, k, lengths)


def ball_query_reference(
    queries: Tensor, points: Tensor, radius: float, k: int, lengths: Tensor | None = None
) -> Tensor:
    """The definition of :func:`ball_query`: all distances, and the running count of hits.

    Example:
        >>> points = torch.tensor([[[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.5, 0.0, 0.0]]])
        >>> ball_query_reference(points[:, 2:], points, radius=1.0, k=2).tolist()
        [[[0, 2]]]
    """
    dtype = working_dtype(queries, points)
    queries, points = queries.to(dtype), points.to(dtype)
    counted = counted_points(points, lengths)
    squared_radius = torch.tensor(radius, dtype=dtype, device=points.device).square()  # rounded as the kernel
    number = points.shape[1]
    at_once = max(1, PAIRS_AT_ONCE // max(1, points.shape[0] * number))
    found = []
    for part in queries.split(at_once, dim=1):
        inside = squared_distances(part, points) < squared_radius  # (B, m, N)
        if counted is not None:
            inside &= counted[:, None]
        index = torch.arange(number, device=points.device).expand_as(inside)
        hits = torch.where(inside, index, number).sort(-1).values[..., :k]
        hits = torch.nn.functional.pad(hits, (0, k - hits.shape[-1]), value=number)
        first = hits[..., :1] % number if number else torch.zeros_like(hits[..., :1])
        found.append(torch.where(hits < number, hits, first))
    return torch.cat(found, 1)


def gather_points(features: Tensor, indices: Tensor) -> Tensor:
    """Rows of each cloud by index; differentiable in ``features``.

    Args:
        features: ``(B, N, C)``: coordinates or anything else that points have.
        indices: ``(B, ...)`` int64 in 0 .. N - 1.

    Returns:
        ``(B, ..., C)``.

    Raises:
        DataError: shapes do not fit, or an index lies outside (on a GPU torch's own error).

    Example:
        >>> features = torch.tensor([[[1.0], [2.0], [3.0]]])
        >>> gather_points(features, torch.tensor([[[2, 0]]])).tolist()
        [[[[3.0], [1.0]]]]
    """
    if features.ndim != 3 or indices.ndim < 1 or len(indices) != len(features):
        raise DataError(
            f"gather_points takes features (B, N, C) and indices (B, ...), not {tuple(features.shape)} and "
            f"{tuple(indices.shape)}"
        )
    if indices.dtype not in (torch.int64, torch.int32):
        raise DataError(f"indices of points must be whole numbers (int64), not {indices.dtype}")
    batch, number, channels = features.shape
    if indices.device.type == "cpu" and indices.numel():
        low, high = (int(value) for value in indices.aminmax())
        if low < 0 or high >= number:
            raise DataError(f"indices reach from {low} to {high}, but clouds have {number} points")
    flat = indices.reshape(batch, indices[0].numel() if batch else 0, 1).long().expand(-1, -1, channels)
    return features.gather(1, flat).view(*indices.shape, channels)


def group_points(points: Tensor, centres: Tensor, indices: Tensor) -> Tensor:
    """Neighbourhoods relative to their centres: ``points[indices] - centre``.

    Args:
        points: ``(B, N, 3)``.
        centres: ``(B, M, 3)``.
        indices: ``(B, M, k)`` of :func:`knn` or :func:`ball_query`.

    Returns:
        ``(B, M, k, 3)``, differentiable in points and centres.

    Raises:
        DataError: shapes do not fit.

    Example:
        >>> points = torch.tensor([[[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]])
        >>> group_points(points, points[:, :1], torch.tensor([[[0, 1]]])).tolist()
        [[[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]]]
    """
    check_pair(centres, points, ("centres", "points"))
    if indices.ndim != 3 or indices.shape[:2] != centres.shape[:2]:
        raise DataError(
            f"indices {tuple(indices.shape)} are not of centres {tuple(centres.shape)}: they must be "
            f"({centres.shape[0]}, {centres.shape[1]}, k)"
        )
    return gather_points(points, indices) - centres[:, :, None]


register_backend(
    "ball_query",
    "numba",
    device="cpu",
    implementation=point_cpu.balls,
    available=point_cpu.numba_unavailable,
)
register_backend(
    "ball_query",
    "triton",
    device="cuda",
    implementation=point_cuda.kernel("balls"),
    available=point_cuda.triton_unavailable,
)
register_backend("ball_query", "reference", implementation=ball_query_reference)
register_backend("gather_points", "torch", implementation=gather_points)
register_backend("group_points", "torch", implementation=group_points)
