"""Averages over the slices of each cell, summed while slices come in any order.

``AdaptiveAvgPool`` gives cell i of n the slices floor(i N / n) ... ceil((i + 1) N / n) - 1: neighbouring
cells may share a slice, and with fewer slices than cells one slice serves several.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def cell_ranges(slices: int, cells: int) -> np.ndarray:
    """First slice of each cell and the one behind its last, (cells, 2).

    Example:
        >>> cell_ranges(5, 2).tolist(), cell_ranges(2, 3).tolist()
        ([[0, 3], [2, 5]], [[0, 1], [0, 2], [1, 2]])
    """
    i = np.arange(cells)
    return np.stack([i * slices // cells, -(-(i + 1) * slices // cells)], axis=1)


def used_slices(slices: int, cells: int, stride: int = 1) -> list[int]:
    """Indices of the slices that the network sees: all, or every ``stride``-th (ours).

    A stride is cut down so that each cell keeps a slice.

    Example:
        >>> used_slices(8, 4), used_slices(8, 4, 2), used_slices(8, 4, 100)
        ([0, 1, 2, 3, 4, 5, 6, 7], [1, 3, 5, 7], [1, 3, 5, 7])
    """
    stride = max(1, min(stride, slices // cells))
    return list(range(stride // 2, slices, stride))


def coarse_to_fine(indices: Sequence[int], cells: int, first: int | None = None) -> list[int]:
    """An order in which every cell has a slice soon: one slice a cell, then the rest; ``first`` before all.

    Args:
        indices: ascending.
        cells: along the axis.
        first: the slice that is looked at; the nearest of ``indices`` comes first.

    Example:
        >>> coarse_to_fine(range(8), 2, first=5)
        [5, 2, 6, 0, 1, 3, 4, 7]
    """
    indices = list(indices)
    count = max(1, min(cells, len(indices)))
    early = [indices[(2 * i + 1) * len(indices) // (2 * count)] for i in range(count)]
    if first is not None:
        early.insert(0, min(indices, key=lambda i: abs(i - first)))
    return list(dict.fromkeys([*early, *indices]))


class AxisPool:
    """Running sums of the maps of slices across one axis, and the averages that they give.

    Args:
        axis: array axis that the slices lie across.
        slices: of the volume along ``axis``.
        cells: (W', H', D').
        channels: F.
        device: of the sums.
    """

    def __init__(
        self, axis: int, slices: int, cells: Sequence[int], channels: int, device: str | torch.device = "cpu"
    ) -> None:
        self.axis, self.ranges = axis, cell_ranges(slices, cells[axis])
        rest = [n for a, n in enumerate(cells) if a != axis]
        self.sums = torch.zeros(cells[axis], channels, *rest, device=device)
        self.counts = torch.zeros(cells[axis], dtype=torch.int64)

    def add(self, index: int, features: Tensor) -> None:
        """Add the map (F, h, w) of slice ``index``."""
        for cell in np.flatnonzero((self.ranges[:, 0] <= index) & (index < self.ranges[:, 1])):
            self.sums[cell] += features
            self.counts[cell] += 1

    @property
    def covered(self) -> bool:
        """Whether each cell has a slice."""
        return bool((self.counts > 0).all())

    def mean(self) -> Tensor:
        """(F, W', H', D') averages of the slices so far; zero in cells without one."""
        counts = self.counts.clamp(min=1).to(self.sums.device, self.sums.dtype)
        means = self.sums / counts[:, None, None, None]  # (n, F, h, w)
        return torch.movedim(means, 0, self.axis + 1)
