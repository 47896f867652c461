"""Sparse voxels found by their integer coordinates: what sparse convolutions and sampling look up."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import point_cpu
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.voxels import KeyBox, check_voxels


def cube_offsets(reach: int = 1, device: torch.device | None = None) -> Tensor:
    """``((2 reach + 1)^3, 3)`` int64 offsets in the order of x, y, z; for reach 1 those of a 3x3x3 kernel.

    Example:
        >>> cube_offsets(1)[[0, 1, 13, 26]].tolist()
        [[-1, -1, -1], [-1, -1, 0], [0, 0, 0], [1, 1, 1]]
    """
    steps = range(-reach, reach + 1)
    return torch.tensor(list(itertools.product(steps, repeat=3)), device=device).view(-1, 3)


class VoxelHash:
    """Index of distinct voxels.

    Args:
        coordinates: ``(V, 3)`` integers, in any order.
        batch: ``(V,)`` integers, at least 0: which cloud; 0 unless given.

    Raises:
        DataError: other shapes, a voxel that occurs twice, or coordinates so far apart that no 64-bit number
            tells them apart.

    Example:
        >>> voxels = VoxelHash(torch.tensor([[0, 0, 0], [5, 5, 5], [0, 0, 1]]))
        >>> voxels.lookup(torch.tensor([[0, 0, 1], [9, 9, 9]])).tolist()
        [2, -1]
        >>> voxels.neighbours(torch.tensor([[0, 0, 0], [0, 0, 1]])).tolist()
        [[0, 2], [1, -1], [2, -1]]
    """

    def __init__(self, coordinates: Tensor, batch: Tensor | None = None) -> None:
        coordinates, batch = check_voxels(coordinates, batch)
        self.rows = torch.cat([batch[:, None], coordinates], 1)  # (V, 4)
        self._index(margin=0)
        repeated = (self._keys[1:] == self._keys[:-1]).nonzero()
        if len(repeated):
            row = self.rows[self._order[repeated[0, 0]]].tolist()
            raise DataError(f"voxel {row[1:]} of cloud {row[0]} occurs more than once: see unique_voxels")

    def __len__(self) -> int:
        return len(self.rows)

    def _index(self, margin: int) -> None:
        """Sort the voxels by keys that tell apart everything up to ``margin`` beyond them."""
        self._margin = margin
        self._box = KeyBox.around(self.rows, margin) if len(self.rows) else KeyBox((0,) * 4, (0,) * 4)
        if self._box is None:
            raise DataError(
                f"{len(self.rows)} voxels span a box whose cells no 64-bit number counts: drop "
                "outliers or take larger voxels"
            )
        self._keys, self._order = self._box.keys(self.rows).sort()

    def lookup(self, coordinates: Tensor, batch: Tensor | None = None) -> Tensor:
        """Which voxel lies at each place.

        Args:
            coordinates: ``(..., 3)`` integers.
            batch: ``(...)`` integers; 0 unless given.

        Returns:
            ``(...)`` int64 index of the voxel, -1 where there is none.

        Raises:
            DataError: other shapes or types.
        """
        shape = coordinates.shape[:-1]
        flat = coordinates.reshape(-1, coordinates.shape[-1])
        flat, batch = check_voxels(flat, None if batch is None else batch.reshape(-1))
        rows = torch.cat([batch[:, None], flat], 1).to(self.rows.device)
        if not len(self.rows):
            return rows.new_full(shape, -1)
        inside = self._box.inside(rows)
        keys = self._box.keys(torch.where(inside[:, None], rows, self.rows[0]))
        found = find_sorted(self._keys, self._order, keys)
        return torch.where(inside, found, -1).view(shape)

    def neighbours(self, offsets: Tensor | None = None, backend: str | None = None) -> Tensor:
        """For each voxel and offset the voxel that lies there, in the same cloud.

        Args:
            offsets: ``(K, 3)`` integers; the 27 of :func:`cube_offsets` unless given.
            backend: take this implementation: ``"numba"`` or ``"search"``.

        Returns:
            ``(V, K)`` int64 index, -1 where there is none.

        Raises:
            DataError: another shape or type.
        """
        offsets = cube_offsets() if offsets is None else offsets
        offsets, _ = check_voxels(offsets, None)
        offsets = offsets.to(self.rows.device)
        reach = int(offsets.abs().max()) if offsets.numel() else 0
        if not len(self.rows) or not len(offsets):
            return offsets.new_zeros(len(self.rows), len(offsets))
        if reach > self._margin:
            self._index(reach)
        # every shifted key is that of a cell of the box, so that none stands for a voxel of another row
        shifts = (offsets * offsets.new_tensor(self._box.strides[1:])).sum(1)
        implementation = select_backend("VoxelHash", shifts.device.type, backend).implementation
        return implementation(self._keys, self._order, shifts)


def find_sorted(keys: Tensor, order: Tensor, wanted: Tensor) -> Tensor:
    """Places in the unsorted voxels of the wanted keys, -1 where there is none.

    Args:
        keys: ``(V,)`` int64, ascending.
        order: ``(V,)`` int64, the voxel of each key.
        wanted: int64 of any shape.

    Example:
        >>> find_sorted(torch.tensor([2, 5]), torch.tensor([1, 0]), torch.tensor([5, 3, 9])).tolist()
        [0, -1, -1]
    """
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, order[place], -1)


def _search(keys: Tensor, order: Tensor, shifts: Tensor) -> Tensor:
    found = torch.empty(len(keys), len(shifts), dtype=torch.long, device=keys.device)
    for number, shift in enumerate(shifts.tolist()):  # over offsets, which bounds the memory
        found[order, number] = find_sorted(keys, order, keys + shift)
    return found


register_backend(
    "VoxelHash",
    "numba",
    device="cpu",
    implementation=point_cpu.shifted_keys,
    available=point_cpu.numba_unavailable,
)
register_backend("VoxelHash", "search", implementation=_search)
