"""Chamfer distance of clouds: each point against the nearest of the other cloud.

Fan et al., "A point set generation network for 3D object reconstruction from a single image", CVPR 2017,
section 4.1. Networks on clouds train with squared distances ("L2") or with their roots ("L1").
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import point_cpu, point_cuda
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.grouping import gather_points
from dense3d.ops.point_checks import (
    Lengths,
    check_lengths,
    check_pair,
    counted_points,
    squared_distances,
    working_dtype,
)

PAIRS_AT_ONCE = 20_000_000  # bounds the memory of the reference


def chamfer_distance(
    x: Tensor,
    y: Tensor,
    x_lengths: Lengths = None,
    y_lengths: Lengths = None,
    norm: int = 2,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Distance of each point to the nearest point of the other cloud, not reduced.

    Of equally near points the lowest index counts. Gradients flow to both clouds through the nearest pairs.
    A pair of clouds with NaN or infinite coordinates has NaN or infinite distances, which a training loop
    notices.

    Args:
        x: ``(B, N, 3)``.
        y: ``(B, M, 3)``.
        x_lengths, y_lengths: ``(B,)``, how many first points of each cloud count; all of them unless given.
        norm: 2 for squared distances, 1 for distances, whose gradient at 0 is taken as 0.
        backend: take this implementation: ``"numba"``, ``"triton"`` or ``"reference"``.

    Returns:
        of x to y ``(B, N)`` and of y to x ``(B, M)``, in float32 (float64 where the input is); 0 for padding.

    Raises:
        DataError: shapes do not fit, another norm, or one cloud of a pair is empty and the other is not.

    Example:
        >>> x = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]])
        >>> y = torch.tensor([[[0.0, 1.0, 0.0]]])
        >>> chamfer_distance(x, y)
        (tensor([[ 1., 10.]]), tensor([[1.]]))
    """
    x, y, x_lengths, y_lengths = _checked(x, y, x_lengths, y_lengths, norm)
    nearest = select_backend("chamfer_distance", x.device.type, backend).implementation
    return _distances(x, y, x_lengths, y_lengths, norm, nearest)


def chamfer_distance_reference(
    x: Tensor, y: Tensor, x_lengths: Lengths = None, y_lengths: Lengths = None, norm: int = 2
) -> tuple[Tensor, Tensor]:
    """The definition of :func:`chamfer_distance`: all distances, and the least of each row.

    Example:
        >>> cloud = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]])
        >>> chamfer_distance_reference(cloud, cloud + 1, norm=1)[0]
        tensor([[1.7321, 1.7321]])
    """
    x, y, x_lengths, y_lengths = _checked(x, y, x_lengths, y_lengths, norm)
    return _distances(x, y, x_lengths, y_lengths, norm, nearest_reference)


def chamfer_loss(
    x: Tensor, y: Tensor, x_lengths: Lengths = None, y_lengths: Lengths = None, norm: int = 2
) -> Tensor:
    """Mean over all points of a batch, both directions, as Point-MAE trains.

    ``norm=2`` adds the means of squared distances (cdl2); ``norm=1`` takes half of the sum of the means of
    distances (cdl1).

    Args:
        x, y, x_lengths, y_lengths, norm: as :func:`chamfer_distance` takes them.

    Returns:
        a scalar; 0 for a batch without points.

    Raises:
        DataError: as :func:`chamfer_distance`.

    Example:
        >>> x = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]])
        >>> chamfer_loss(x, torch.tensor([[[0.0, 4.0, 0.0]]])).item()
        36.5
        >>> chamfer_loss(x, torch.tensor([[[0.0, 4.0, 0.0]]]), norm=1).item()
        4.25
    """
    forward, backward = chamfer_distance(x, y, x_lengths, y_lengths, norm)
    means = [
        distances.sum()
        / max(1, distances.numel() if lengths is None else int(torch.as_tensor(lengths).sum()))
        for distances, lengths in ((forward, x_lengths), (backward, y_lengths))
    ]
    return means[0] + means[1] if norm == 2 else (means[0] + means[1]) / 2


def nearest_reference(
    x: Tensor, y: Tensor, x_lengths: Tensor | None, y_lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Index of the nearest counted point of the other cloud: ``(B, N)`` and ``(B, M)``."""
    return _nearest(x, y, y_lengths), _nearest(y, x, x_lengths)


def _nearest(queries: Tensor, points: Tensor, lengths: Tensor | None) -> Tensor:
    counted = counted_points(points, lengths)
    at_once = max(1, PAIRS_AT_ONCE // max(1, points.shape[0] * points.shape[1]))
    found = []
    for part in queries.split(at_once, dim=1):
        distances = squared_distances(part, points)
        if counted is not None:
            distances = distances.masked_fill(~counted[:, None], torch.inf)
        found.append(distances.argmin(-1))
    return torch.cat(found, 1)


def _distances(x, y, x_lengths, y_lengths, norm, nearest) -> tuple[Tensor, Tensor]:
    if 0 in (len(x), x.shape[1], y.shape[1]):  # then nothing counts; the sum keeps the graph
        nothing = 0 * (x.sum() + y.sum())
        return x.new_zeros(x.shape[:2]) + nothing, y.new_zeros(y.shape[:2]) + nothing
    to_y, to_x = nearest(x.detach(), y.detach(), x_lengths, y_lengths)
    return _to_nearest(x, y, to_y, x_lengths, norm), _to_nearest(y, x, to_x, y_lengths, norm)


def _to_nearest(queries: Tensor, points: Tensor, index: Tensor, lengths: Tensor | None, norm: int) -> Tensor:
    """Differentiable distance of each query to the point of its index, 0 where the query is padding."""
    difference = queries - gather_points(points, index)
    counted = counted_points(queries, lengths)
    if counted is not None:
        difference = torch.where(counted[..., None], difference, 0)
    squared = difference.square().sum(-1)
    if norm == 2:
        return squared
    zero = squared == 0  # the root has no derivative there
    return torch.where(zero, 0, torch.where(zero, 1, squared).sqrt())


def _checked(x: Tensor, y: Tensor, x_lengths: Lengths, y_lengths: Lengths, norm: int):
    check_pair(x, y, ("x", "y"))
    if norm not in (1, 2):
        raise DataError(f"chamfer_distance has norm 1 (distances) or 2 (squared distances), not {norm!r}")
    x_lengths, y_lengths = check_lengths(x_lengths, x, "x_lengths"), check_lengths(y_lengths, y, "y_lengths")
    counts = [
        points.shape[1] * torch.ones(len(points), dtype=torch.long, device=points.device)
        if lengths is None
        else lengths
        for points, lengths in ((x, x_lengths), (y, y_lengths))
    ]
    alone = ((counts[0] == 0) != (counts[1] == 0)).nonzero()
    if len(alone):
        cloud = int(alone[0])
        raise DataError(
            f"pair {cloud} of the batch has {int(counts[0][cloud])} points of x and {int(counts[1][cloud])} "
            "of y: there is no nearest point in a cloud without any"
        )
    dtype = working_dtype(x, y)
    return x.to(dtype), y.to(dtype), x_lengths, y_lengths


register_backend(
    "chamfer_distance",
    "numba",
    device="cpu",
    implementation=point_cpu.nearest_of_both,
    available=point_cpu.numba_unavailable,
)
register_backend(
    "chamfer_distance",
    "triton",
    device="cuda",
    implementation=point_cuda.kernel("nearest_of_both"),
    available=point_cuda.triton_unavailable,
)
register_backend("chamfer_distance", "reference", implementation=nearest_reference)
