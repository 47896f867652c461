"""What every operator on point clouds asks of its input, and the forms in which it computes.

Clouds are ``(B, N, 3)``; ``lengths`` ``(B,)`` says how many first points of each count, the rest is padding
of any value. Half precision is computed in float32, as distances overflow in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dense3d.errors import DataError

Lengths = Tensor | Sequence[int] | None


def working_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 where one of the tensors has it, else float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


def check_cloud(points: Tensor, name: str = "points") -> None:
    """Batches of floating-point clouds of three coordinates.

    Raises:
        DataError: another shape or type.
    """
    if points.ndim != 3 or points.shape[-1] != 3:
        raise DataError(
            f"{name} must be (batch, number, 3), not {tuple(points.shape)}: a single cloud is points[None], "
            "and colours or normals go into features"
        )
    if not points.is_floating_point():
        raise DataError(f"{name} must hold floating-point coordinates, not {points.dtype}")


def check_pair(queries: Tensor, points: Tensor, names: tuple[str, str] = ("queries", "points")) -> None:
    """Two batches of clouds that belong together.

    Raises:
        DataError: one is no batch of clouds, or they differ in batch size or device.
    """
    check_cloud(queries, names[0])
    check_cloud(points, names[1])
    if len(queries) != len(points):
        raise DataError(f"{names[0]} are a batch of {len(queries)} and {names[1]} of {len(points)}")
    if queries.device != points.device:
        raise DataError(f"{names[0]} are on {queries.device} and {names[1]} on {points.device}")


def check_lengths(lengths: Lengths, points: Tensor, name: str = "lengths") -> Tensor | None:
    """``(B,)`` int64 on the device of the points, or ``None`` where all points count.

    Raises:
        DataError: not one whole number a cloud, or one beyond the cloud.
    """
    if lengths is None:
        return None
    lengths = torch.as_tensor(lengths, device=points.device)
    if lengths.is_floating_point() or lengths.shape != points.shape[:1]:
        raise DataError(
            f"{name} must be {len(points)} whole numbers, one a cloud, not {tuple(lengths.shape)} of "
            f"{lengths.dtype}"
        )
    if lengths.numel() and not lengths.is_meta:
        low, high = (int(value) for value in lengths.aminmax())
        if low < 0 or high > points.shape[1]:
            raise DataError(f"{name} must lie in 0 .. {points.shape[1]}, but reach from {low} to {high}")
    return lengths.long()


def check_enough(points: Tensor, lengths: Tensor | None, needed: int, what: str) -> None:
    """Every cloud has as many points as ``what`` needs.

    Raises:
        DataError: one has fewer.
    """
    if needed < 0:
        raise DataError(f"{what}: the number must not be negative, but is {needed}")
    if not len(points) or points.is_meta:
        return
    fewest, cloud = points.shape[1], 0
    if lengths is not None:
        fewest, cloud = (int(value) for value in lengths.min(0))
    if fewest < needed:
        raise DataError(
            f"{what}: {needed} are asked for, but cloud {cloud} of the batch has {fewest} points; ask for "
            "fewer or repeat points"
        )


def check_finite(points: Tensor, lengths: Tensor | None = None, name: str = "points") -> None:
    """No point that counts has NaN or an infinite coordinate.

    Raises:
        DataError: one has; the message says how many, and which is the first.
    """
    if points.is_meta or torch.isfinite(points.detach().sum()):
        return  # what is not finite does not leave the sum finite
    broken = ~torch.isfinite(points).all(-1)  # (B, N)
    counted = counted_points(points, lengths)
    broken = broken if counted is None else broken & counted
    where = broken.nonzero()
    if len(where):
        cloud, point = where[0].tolist()
        raise DataError(
            f"{name} hold {len(where)} points with NaN or infinite coordinates, the first is {name}[{cloud}, "
            f"{point}]: drop them first"
        )


def counted_points(points: Tensor, lengths: Tensor | None) -> Tensor | None:
    """``(B, N)`` bool: which points count; ``None`` where all do."""
    if lengths is None:
        return None
    return torch.arange(points.shape[1], device=points.device) < lengths[:, None]


def squared_distances(queries: Tensor, points: Tensor) -> Tensor:
    """``(B, M, N)`` of ``(B, M, 3)`` and ``(B, N, 3)``, by differences, in the order dx2 + dy2 + dz2.

    The usual form ``|q|^2 + |p|^2 - 2 q p`` loses all digits for near points that are far from the origin.
    Compiled forms add in the same order, so that equal distances are equal everywhere.
    """
    dx, dy, dz = (queries[:, :, None, axis] - points[:, None, :, axis] for axis in range(3))
    return dx * dx + dy * dy + dz * dz
