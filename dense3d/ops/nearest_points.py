"""The nearest points of a cloud, and features interpolated from them.

Interpolation by inverse distances: equation 2 of Qi et al., "PointNet++", NeurIPS 2017.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import point_cpu, point_cuda
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.grouping import gather_points
from dense3d.ops.point_checks import (
    Lengths,
    check_enough,
    check_finite,
    check_lengths,
    check_pair,
    counted_points,
    squared_distances,
    working_dtype,
)

PAIRS_AT_ONCE = 20_000_000  # bounds the memory of the references


def knn(
    queries: Tensor, points: Tensor, k: int, lengths: Lengths = None, backend: str | None = None
) -> tuple[Tensor, Tensor]:
    """The k nearest points of each query, nearest first; of equally near ones the lowest index first.

    Not differentiable: distances that have to be are those to ``gather_points(points, indices)``.

    Args:
        queries: ``(B, M, 3)``, finite.
        points: ``(B, N, 3)``, finite.
        k: how many, at most the number of points of every cloud.
        lengths: ``(B,)``, how many first points of each cloud count; all of them unless given.
        backend: take this implementation: ``"numba"``, ``"triton"`` or ``"reference"``.

    Returns:
        squared distances ``(B, M, k)``, float32 (float64 where the input is), and their int64 indices.

    Raises:
        DataError: a cloud has fewer than k points, or something is not finite.

    Example:
        >>> points = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [5.0, 0.0, 0.0]]])
        >>> distances, indices = knn(torch.tensor([[[0.0, 1.5, 0.0]]]), points, k=2)
        >>> distances.tolist(), indices.tolist()
        ([[[0.25, 2.25]]], [[[1, 0]]])
    """
    check_pair(queries, points)
    lengths = check_lengths(lengths, points)
    check_enough(points, lengths, k, "knn")
    check_finite(queries, name="queries")
    check_finite(points, lengths)
    dtype = working_dtype(queries, points)
    if 0 in (*queries.shape[:2], k):
        shape = (*queries.shape[:2], k)
        return queries.new_zeros(shape, dtype=dtype), queries.new_zeros(shape, dtype=torch.long)
    chosen = select_backend("knn", points.device.type, backend)
    return chosen.implementation(queries.detach().to(dtype), points.detach().to(dtype), k, lengths)


def knn_reference(
    queries: Tensor, points: Tensor, k: int, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The definition of :func:`knn`: all distances, sorted.

    Example:
        >>> cloud = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [5.0, 0.0, 0.0]]])
        >>> knn_reference(cloud, cloud, 1)[1].flatten().tolist()
        [0, 1, 2]
    """
    dtype = working_dtype(queries, points)
    queries, points = queries.to(dtype), points.to(dtype)
    counted = counted_points(points, lengths)
    at_once = max(1, PAIRS_AT_ONCE // max(1, points.shape[0] * points.shape[1]))
    found = []
    for part in queries.split(at_once, dim=1):
        distances = squared_distances(part, points)  # (B, m, N)
        if counted is not None:
            distances = distances.masked_fill(~counted[:, None], torch.inf)
        distances, indices = distances.sort(dim=-1, stable=True)
        found.append((distances[..., :k], indices[..., :k]))
    distances, indices = zip(*found)
    return torch.cat(distances, 1), torch.cat(indices, 1)


def interpolate_nearest(
    queries: Tensor,
    points: Tensor,
    features: Tensor,
    k: int = 3,
    power: int = 2,
    eps: float = 1e-8,
    lengths: Lengths = None,
) -> Tensor:
    """Features at the queries: means over the k nearest points, weighted by inverse distances.

    Args:
        queries: ``(B, M, 3)``.
        points: ``(B, N, 3)``.
        features: ``(B, N, C)`` of the points; differentiable in them, not in positions.
        k: neighbours.
        power: 2 weighs by ``1 / (d^2 + eps)`` (the part segmentation of PointNet++'s successors in torch), 1
            by ``1 / (d + eps)`` (PointNet++'s CUDA library). They differ.
        eps: bounds the weight of a point that coincides with the query.
        lengths: ``(B,)``, how many first points of each cloud count.

    Returns:
        ``(B, M, C)`` of the dtype of ``features``.

    Raises:
        DataError: as :func:`knn`; or features that are not of the points; or another power.

    Example:
        >>> points = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]])
        >>> query = torch.tensor([[[1.0, 0.0, 0.0]]])
        >>> features = torch.tensor([[[0.0], [1.0]]])
        >>> interpolate_nearest(query, points, features, k=2, power=1).item()
        0.3333333432674408
    """
    indices, weights = _neighbours_and_weights(queries, points, features, k, power, eps, lengths)
    batch, number, channels = features.shape
    if not indices.numel() or not channels:
        return features.new_zeros(*queries.shape[:2], channels) + 0 * features.sum()
    rows = indices + number * torch.arange(batch, device=indices.device)[:, None, None]
    sums = F.embedding_bag(  # weighted sums of rows, without a copy of each
        rows.flatten(0, 1),
        features.flatten(0, 1).to(weights.dtype),
        mode="sum",
        per_sample_weights=weights.flatten(0, 1),
    )
    return sums.view(*queries.shape[:2], channels).to(features.dtype)


def interpolate_nearest_reference(
    queries: Tensor,
    points: Tensor,
    features: Tensor,
    k: int = 3,
    power: int = 2,
    eps: float = 1e-8,
    lengths: Lengths = None,
) -> Tensor:
    """The definition of :func:`interpolate_nearest`: neighbours gathered, weighted and summed.

    Example:
        >>> cloud = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]])
        >>> features = torch.tensor([[[5.0], [1.0]]])
        >>> interpolate_nearest_reference(cloud, cloud, features, k=1).flatten().tolist()
        [5.0, 1.0]
    """
    indices, weights = _neighbours_and_weights(queries, points, features, k, power, eps, lengths)
    gathered = gather_points(features.to(weights.dtype), indices)  # (B, M, k, C)
    return (weights[..., None] * gathered).sum(-2).to(features.dtype)


def _neighbours_and_weights(
    queries: Tensor, points: Tensor, features: Tensor, k: int, power: int, eps: float, lengths: Lengths
) -> tuple[Tensor, Tensor]:
    """Indices and normalised weights, both ``(B, M, k)``."""
    check_pair(queries, points)
    if features.ndim != 3 or features.shape[:2] != points.shape[:2]:
        raise DataError(
            f"features {tuple(features.shape)} are not of points {tuple(points.shape)}: they must be "
            f"({points.shape[0]}, {points.shape[1]}, C)"
        )
    if power not in (1, 2) or k < 1:
        raise DataError(f"interpolation needs power 1 or 2 and k of at least 1, not power={power}, k={k}")
    squared, indices = knn(queries, points, k, lengths)
    inverse = 1 / ((squared if power == 2 else squared.sqrt()) + eps)
    weights = inverse / inverse.sum(-1, keepdim=True)
    return indices, weights.to(working_dtype(features, weights))


register_backend(
    "knn",
    "numba",
    device="cpu",
    implementation=point_cpu.nearest_k,
    available=point_cpu.numba_unavailable,
)
register_backend(
    "knn",
    "triton",
    device="cuda",
    implementation=point_cuda.kernel("nearest_k"),
    available=point_cuda.triton_unavailable,
)
register_backend("knn", "reference", implementation=knn_reference)
register_backend("interpolate_nearest", "torch", implementation=interpolate_nearest)
