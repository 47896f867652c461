"""Occupied voxels at one resolution and at a pyramid of them, without features.

A feature map is a tensor ``(V, C)`` in the order of its level's voxels. What networks ask of the geometry
(neighbours, orders along curves, which voxels share a parent) is found once and shared by all layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import ConvRules, VoxelHash, cube_offsets, curve_order, unique_voxels
from dense3d.ops.voxels import check_voxels

CENTRE = 13  # of the 27 taps of a 3x3x3 kernel, in the order of x, y, z


class SparseLevel:
    """Distinct voxels of one or more scenes.

    Args:
        coords: ``(V, 3)`` integers, at least 0.
        scene: ``(V,)`` integers, ascending: which scene of the batch; 0 unless given. A scene may have no
            voxel.

    Attributes:
        hash: finds voxels by their coordinates and scene.

    Raises:
        DataError: other shapes or types, negative coordinates, scenes out of order, a voxel twice.

    Example:
        >>> level = SparseLevel(torch.tensor([[0, 0, 0], [0, 0, 1], [4, 4, 4]]))
        >>> len(level), level.order("xyz_z-order").tolist(), level.neighbours[0].nonzero().flatten().tolist()
        (3, [0, 1, 2], [13, 14])
    """

    def __init__(self, coords: Tensor, scene: Tensor | None = None) -> None:
        self.coords, self.scene = check_voxels(coords, scene)
        if self.coords.numel() and self.coords.min() < 0:
            raise DataError(
                f"voxels of a scene count from 0, but these reach down to {int(self.coords.min())}: subtract "
                "the least coordinates"
            )
        if (self.scene[1:] < self.scene[:-1]).any():
            raise DataError("voxels come scene after scene, but their scenes are not in ascending order")
        self._orders: dict[str, tuple[Tensor, Tensor]] = {}
        self.hash = VoxelHash(self.coords, self.scene)

    def __len__(self) -> int:
        return len(self.coords)

    @property
    def num_scenes(self) -> int:
        """Scenes up to the last one that has a voxel."""
        return int(self.scene[-1]) + 1 if len(self) else 0

    @cached_property
    def scene_ends(self) -> list[int]:
        """For each scene the number of voxels up to its last one."""
        return self.scene.bincount().cumsum(0).tolist() if len(self) else []

    @property
    def neighbours(self) -> Tensor:
        """``(V, 27)`` bool: which taps of a 3x3x3 kernel meet a voxel."""
        found = torch.zeros(len(self), CENTRE * 2 + 1, dtype=torch.bool, device=self.coords.device)
        for tap, outputs, _ in self.cube_rules.steps:
            found[slice(None) if outputs is None else outputs, tap] = True
        return found

    @cached_property
    def cube_rules(self) -> ConvRules:
        """Which voxel meets which through each tap of a 3x3x3 kernel: out[p] sums W[k] in[p + k - 1].

        Half of the taps are looked for, since the others see the same pairs from the other side.
        """
        half = cube_offsets(device=self.coords.device)[:CENTRE]
        found = self.hash.neighbours(half)  # (V, 13)
        steps: list[tuple[int, Tensor | None, Tensor | None]] = [(CENTRE, None, None)]
        for tap in range(CENTRE):
            here = (found[:, tap] >= 0).nonzero()[:, 0]
            there = found[here, tap]
            steps += [(tap, here, there), (2 * CENTRE - tap, there, here)]
        return ConvRules(steps, len(self), len(self))

    def order(self, curve: str) -> Tensor:
        """``(V,)`` places of the voxels, sorted along a curve within each scene.

        Args:
            curve: an order of the axes and a kind, such as ``"xyz_z-order"`` or ``"yxz_hilbert"``.

        Raises:
            DataError: another curve, or a voxel beyond the 65,536 of an axis that curves of 16 bits have.
        """
        return self._order_and_back(curve)[0]

    def places(self, curve: str) -> Tensor:
        """``(V,)`` place of each voxel along a curve: leads back from :meth:`order`."""
        return self._order_and_back(curve)[1]

    def _order_and_back(self, curve: str) -> tuple[Tensor, Tensor]:
        if curve not in self._orders:
            axes, _, kind = curve.partition("_")
            order = curve_order(self.coords, kind, axes, self.scene)
            back = torch.empty_like(order)
            back[order] = torch.arange(len(order), device=order.device)
            self._orders[curve] = order, back
        return self._orders[curve]


@dataclass(frozen=True, eq=False)
class Halving:
    """The step from a level to the next coarser one, whose voxels are two by two by two of its own.

    Attributes:
        parent: ``(V,)`` int64, for each finer voxel the coarser one that it lies in.
        tap: ``(V,)`` int64 0 .. 7, which of the eight it is: 4 x + 2 y + z of the coordinates modulo 2.
        num_parents: coarser voxels.
    """

    parent: Tensor
    tap: Tensor
    num_parents: int

    @cached_property
    def down_rules(self) -> ConvRules:
        """For convolution with kernel 2 and stride 2."""
        steps = []
        for tap in range(8):
            rows = (self.tap == tap).nonzero()[:, 0]
            steps.append((tap, self.parent[rows], rows))
        return ConvRules(steps, self.num_parents, len(self.parent))

    @cached_property
    def up_rules(self) -> ConvRules:
        """For its inverse, onto exactly the finer voxels."""
        return self.down_rules.reversed()


@dataclass(frozen=True, eq=False)
class SparsePyramid:
    """Levels of voxels, finest first; those of level l are 2^l of the finest ones wide.

    Attributes:
        levels: see :class:`SparseLevel`.
        halvings: from level l to level l + 1, one fewer than levels.
    """

    levels: tuple[SparseLevel, ...]
    halvings: tuple[Halving, ...]

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, level: int) -> SparseLevel:
        return self.levels[level]


def build_pyramid(coords: Tensor, scene: Tensor | None = None, depth: int = 5) -> SparsePyramid:
    """The levels above the given voxels: parents are ``coords // 2``.

    Args:
        coords, scene: of :class:`SparseLevel`; the finest level keeps their order, the others have the order
            of scene, x, y, z.
        depth: levels, the finest included.

    Raises:
        DataError: see :class:`SparseLevel`.

    Example:
        >>> pyramid = build_pyramid(torch.tensor([[0, 0, 0], [1, 0, 1], [6, 0, 0]]), depth=3)
        >>> [level.coords.tolist() for level in pyramid.levels[1:]]
        [[[0, 0, 0], [3, 0, 0]], [[0, 0, 0], [1, 0, 0]]]
        >>> pyramid.halvings[0].parent.tolist(), pyramid.halvings[0].tap.tolist()
        ([0, 0, 1], [0, 5, 0])
    """
    levels, halvings = [SparseLevel(coords, scene)], []
    for _ in range(depth - 1):
        finer = levels[-1]
        parents = unique_voxels(finer.coords >> 1, finer.scene)
        bits = finer.coords & 1
        tap = bits[:, 0] << 2 | bits[:, 1] << 1 | bits[:, 2]
        halvings.append(Halving(parents.inverse, tap, len(parents)))
        levels.append(SparseLevel(parents.coordinates, parents.batch))
    return SparsePyramid(tuple(levels), tuple(halvings))


def match_levels(sub: SparsePyramid, full: SparsePyramid) -> list[Tensor]:
    """Where the voxels of one pyramid are in another that has them all, level by level.

    Args:
        sub: for instance of the visible voxels.
        full: of all voxels.

    Returns:
        For each level ``(V_sub,)`` int64: ``full_map[index] = sub_map`` puts a map of ``sub`` into one of
        ``full``.

    Raises:
        DataError: the depths differ, or a voxel is missing in ``full``.

    Example:
        >>> voxels = torch.tensor([[0, 0, 0], [1, 0, 1], [6, 0, 0]])
        >>> found = match_levels(build_pyramid(voxels[2:], depth=2), build_pyramid(voxels, depth=2))
        >>> [index.tolist() for index in found]
        [[2], [1]]
    """
    if len(sub) != len(full):
        raise DataError(f"a pyramid of {len(sub)} levels is not one within {len(full)}")
    found = [there.hash.lookup(here.coords, here.scene) for here, there in zip(sub.levels, full.levels)]
    for level, index in enumerate(found):
        if (index < 0).any():
            raise DataError(
                f"{int((index < 0).sum())} voxels of level {level} are missing in the other pyramid"
            )
    return found
