"""Voxels of points, and look-up of sparse voxels by their integer coordinates.

Voxels are ordered by batch index, x, y, z, which is also the order of the packed 64-bit keys by which they
are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.point_checks import check_finite

REDUCTIONS = ("mean", "sum", "max", "min")
LARGEST_INDEX = 1 << 52  # of a voxel along an axis: up to here float64 counts without gaps
LARGEST_KEY = 1 << 62


@dataclass(frozen=True, eq=False)
class Voxels:
    """Occupied voxels of N points, in the order of batch index, x, y, z."""

    coordinates: Tensor  # (V, 3) int64, voxel indices
    batch: Tensor  # (V,) int64, which cloud of the batch
    inverse: Tensor  # (N,) int64, the voxel of each point
    counts: Tensor  # (V,) int64, points in each voxel

    def __len__(self) -> int:
        return len(self.coordinates)

    def reduce(self, values: Tensor, how: str = "mean") -> Tensor:
        """One value a voxel of the values of its points, differentiable.

        Args:
            values: ``(N, C)`` or ``(N,)``, floating.
            how: ``"mean"``, ``"sum"``, ``"max"`` or ``"min"``.

        Returns:
            ``(V, C)`` or ``(V,)``.

        Raises:
            DataError: another word, or values that are not one a point.

        Example:
            >>> voxels = voxelize(torch.tensor([[0.1, 0.0, 0.0], [0.9, 0.0, 0.0], [1.5, 0.0, 0.0]]), 1.0)
            >>> voxels.reduce(torch.tensor([2.0, 4.0, 5.0])).tolist()
            [3.0, 5.0]
        """
        if how not in REDUCTIONS:
            raise DataError(f"values of a voxel are reduced by {', '.join(REDUCTIONS)}, not {how!r}")
        if len(values) != len(self.inverse):
            raise DataError(f"{len(values)} values are not one for each of the {len(self.inverse)} points")
        index = self.inverse.view(-1, *[1] * (values.ndim - 1)).expand_as(values)
        total = values.new_zeros(len(self), *values.shape[1:])
        word = {"max": "amax", "min": "amin"}.get(how, how)
        return total.scatter_reduce(0, index, values, word, include_self=False)

    def members(self) -> tuple[Tensor, Tensor]:
        """Points by voxel: ``order`` ``(N,)`` and ``starts`` ``(V,)``.

        The points of voxel v are ``order[starts[v] : starts[v] + counts[v]]``, with rising indices.

        Example:
            >>> voxels = voxelize(torch.tensor([[1.5, 0.0, 0.0], [0.9, 0.0, 0.0], [1.1, 0.0, 0.0]]), 1.0)
            >>> [part.tolist() for part in voxels.members()]
            [[1, 0, 2], [0, 1]]
        """
        order = self.inverse.sort(stable=True).indices
        return order, self.counts.cumsum(0) - self.counts

    def representatives(self, generator: torch.Generator | None = None) -> Tensor:
        """``(V,)`` int64: one point of each voxel, drawn by ``generator``; the first unless given.

        Example:
            >>> points = torch.tensor([[1.5, 0.0, 0.0], [0.9, 0.0, 0.0], [1.1, 0.0, 0.0]])
            >>> voxelize(points, 1.0).representatives().tolist()
            [1, 0]
        """
        order, starts = self.members()
        if generator is None:
            return order[starts]
        share = torch.rand(len(self), generator=generator, dtype=torch.float64, device=generator.device)
        drawn = (share.to(starts.device) * self.counts).long()
        return order[starts + torch.minimum(drawn, self.counts - 1)]


def voxelize(
    points: Tensor,
    voxel_size: float | Sequence[float],
    origin: Tensor | Sequence[float] | None = None,
    batch: Tensor | None = None,
    backend: str | None = None,
) -> Voxels:
    """The voxels that points lie in: ``floor((points - origin) / voxel_size)``, in the precision of points.

    Args:
        points: ``(N, 3)``, finite; half precision is computed in float32.
        voxel_size: edge of a voxel in the unit of the points, one for all axes or three.
        origin: ``(3,)`` corner of voxel (0, 0, 0); the origin of coordinates unless given. Indices may be
            negative.
        batch: ``(N,)`` int64, which cloud each point belongs to; all to cloud 0 unless given.
        backend: take this implementation: ``"packed"`` or ``"reference"``.

    Returns:
        coordinates, batch index, the voxel of each point and counts; see :class:`Voxels`.

    Raises:
        DataError: another shape, NaN, a size that is not positive, or voxels too small for such coordinates.

    Example:
        >>> voxels = voxelize(torch.tensor([[0.1, 0.0, 0.0], [0.3, -0.2, 0.0], [0.2, 0.1, 0.0]]), 0.25)
        >>> voxels.coordinates.tolist(), voxels.inverse.tolist(), voxels.counts.tolist()
        ([[0, 0, 0], [1, -1, 0]], [0, 1, 0], [2, 1])
    """
    coordinates = voxel_coordinates(points, voxel_size, origin)
    return unique_voxels(coordinates, batch, backend)


def voxelize_reference(
    points: Tensor,
    voxel_size: float | Sequence[float],
    origin: Tensor | Sequence[float] | None = None,
    batch: Tensor | None = None,
) -> Voxels:
    """The definition of :func:`voxelize`, by the distinct rows of a table.

    Example:
        >>> voxelize_reference(torch.tensor([[0.1, 0.2, -0.1]]), 0.25).coordinates.tolist()
        [[0, 0, -1]]
    """
    return unique_voxels(voxel_coordinates(points, voxel_size, origin), batch, "reference")


def voxel_coordinates(
    points: Tensor, voxel_size: float | Sequence[float], origin: Tensor | Sequence[float] | None = None
) -> Tensor:
    """``(N, 3)`` int64 voxel index of each point; arguments and errors of :func:`voxelize`.

    Example:
        >>> voxel_coordinates(torch.tensor([[0.1, 0.6, -0.1]]), 0.25).tolist()
        [[0, 2, -1]]
    """
    if points.ndim != 2 or points.shape[1] != 3 or not points.is_floating_point():
        raise DataError(
            f"voxels are made of floating-point points (N, 3), not {tuple(points.shape)} of {points.dtype}: "
            "flatten a batch and name each point's cloud in batch="
        )
    check_finite(points[None])
    points = points.detach() if points.dtype == torch.float64 else points.detach().float()
    size = torch.as_tensor(voxel_size, dtype=points.dtype, device=points.device)
    if size.shape not in ((), (3,)) or not (torch.isfinite(size) & (size > 0)).all():
        raise DataError(f"voxel_size must be a positive length or three of them, not {voxel_size}")
    if origin is not None:
        points = points - torch.as_tensor(origin, dtype=points.dtype, device=points.device)
    index = (points / size).floor()
    if index.numel() and index.abs().max() > LARGEST_INDEX:
        raise DataError(
            f"voxels of {voxel_size} are too small for coordinates up to {float(points.abs().max()):g}: "
            "choose larger ones or move the points to the origin"
        )
    return index.long()


def unique_voxels(coordinates: Tensor, batch: Tensor | None = None, backend: str | None = None) -> Voxels:
    """Distinct integer coordinates, for instance of the parents ``coordinates // 2`` of voxels.

    Args:
        coordinates: ``(N, 3)`` integers.
        batch: ``(N,)`` integers, at least 0; 0 unless given.
        backend: as :func:`voxelize` has it.

    Raises:
        DataError: another shape or type.

    Example:
        >>> parents = unique_voxels(torch.tensor([[2, 3, 4], [5, 0, 0], [3, 2, 5]]) // 2)
        >>> parents.coordinates.tolist(), parents.inverse.tolist()
        ([[1, 1, 2], [2, 0, 0]], [0, 1, 0])
    """
    coordinates, batch = check_voxels(coordinates, batch)
    rows = torch.cat([batch[:, None], coordinates], 1)  # (N, 4)
    rows, inverse, counts = select_backend("voxelize", rows.device.type, backend).implementation(rows)
    return Voxels(rows[:, 1:], rows[:, 0], inverse, counts)


def check_voxels(coordinates: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both as int64, ``(N, 3)`` and ``(N,)``.

    Raises:
        DataError: other shapes or types, or a negative batch index.
    """
    whole = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
    if coordinates.ndim != 2 or coordinates.shape[1] != 3 or coordinates.dtype not in whole:
        raise DataError(
            f"voxel coordinates must be whole numbers (N, 3), not {tuple(coordinates.shape)} of "
            f"{coordinates.dtype}"
        )
    if batch is None:
        return coordinates.long(), coordinates.new_zeros(len(coordinates), dtype=torch.long)
    if batch.shape != coordinates.shape[:1] or batch.dtype not in whole:
        raise DataError(
            f"batch must name a cloud for each of {len(coordinates)} points, not {tuple(batch.shape)} of "
            f"{batch.dtype}"
        )
    if batch.numel() and batch.min() < 0:
        raise DataError(f"batch indices must not be negative, but reach down to {int(batch.min())}")
    return coordinates.long(), batch.long()


def _unique_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if not len(rows):
        return rows, rows.new_zeros(0), rows.new_zeros(0)
    return torch.unique(rows, dim=0, return_inverse=True, return_counts=True)


def _unique_packed(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same through one 64-bit key a row, where the ranges of all columns fit into one."""
    box = KeyBox.around(rows) if len(rows) else None
    if box is None:
        return _unique_rows(rows)
    keys, inverse, counts = torch.unique(box.keys(rows), return_inverse=True, return_counts=True)
    return box.rows(keys), inverse, counts


class KeyBox(NamedTuple):
    """A box of rows ``(batch, x, y, z)``, numbered in their order."""

    low: tuple[int, ...]
    size: tuple[int, ...]

    @classmethod
    def around(cls, rows: Tensor, margin: int = 0) -> KeyBox | None:
        """The box of rows ``(N, 4)`` and ``margin`` voxels around; ``None`` if it has no 64-bit numbers."""
        low, high = rows.amin(0).tolist(), rows.amax(0).tolist()
        margins = (0, margin, margin, margin)
        low = [value - m for value, m in zip(low, margins)]
        size = [top + m - bottom + 1 for top, bottom, m in zip(high, low, margins)]
        product = size[0] * size[1] * size[2] * size[3]
        return cls(tuple(low), tuple(size)) if product < LARGEST_KEY else None

    @property
    def strides(self) -> tuple[int, ...]:
        """By how much a key grows along batch, x, y and z."""
        _, sx, sy, sz = self.size
        return sx * sy * sz, sy * sz, sz, 1

    def keys(self, rows: Tensor) -> Tensor:
        """``(N,)`` numbers of rows inside of the box."""
        place = rows - rows.new_tensor(self.low)
        return (place * place.new_tensor(self.strides)).sum(1)

    def rows(self, keys: Tensor) -> Tensor:
        """``(N, 4)`` rows of numbers."""
        place = torch.stack(
            [
                keys.div(stride, rounding_mode="floor").remainder(size)
                for stride, size in zip(self.strides, self.size)
            ],
            1,
        )
        return place + place.new_tensor(self.low)

    def inside(self, rows: Tensor) -> Tensor:
        """``(N,)`` bool."""
        place = rows - rows.new_tensor(self.low)
        return ((place >= 0) & (place < place.new_tensor(self.size))).all(1)


register_backend("voxelize", "packed", implementation=_unique_packed)
register_backend("voxelize", "reference", implementation=_unique_rows)
