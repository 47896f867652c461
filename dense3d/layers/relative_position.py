"""Relative position bias of attention: a learnt number for each head and each offset between two patches.

Bao et al., "BEiT", ICLR 2022; the table of another grid is the spline that BEiT's code fits to it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from dense3d.layers.patch_embed import Grid


class RelativePositionBias(nn.Module):
    """Bias of the attention logits of a grid of patches, behind prefix tokens if there are any.

    A grid other than the table's gets the table resized, see :func:`resize_relative_table`.

    Args:
        grid: rows and columns that the table is for.
        num_heads: M.
        num_prefix: P, tokens in front of the patches; with any, the table has three more rows: prefix to
            patch, patch to prefix, prefix to prefix.

    Shape:
        grid ``(h, w)`` to ``(M, P + h * w, P + h * w)``, query first.

    Example:
        >>> RelativePositionBias((3, 3), num_heads=2, num_prefix=1)((2, 4)).shape
        torch.Size([2, 9, 9])
    """

    def __init__(self, grid: Grid, num_heads: int, num_prefix: int = 0) -> None:
        super().__init__()
        self.grid, self.num_prefix = grid, num_prefix
        rows = (2 * grid[0] - 1) * (2 * grid[1] - 1) + (3 if num_prefix else 0)
        self.table = nn.Parameter(torch.zeros(rows, num_heads))

    def forward(self, grid: Grid) -> Tensor:
        """The bias of a grid."""
        table = resize_relative_table(self.table, self.grid, grid)
        index = _index(grid, self.num_prefix).to(table.device)
        return table[index].permute(2, 0, 1).contiguous()

    def extra_repr(self) -> str:
        return f"grid={self.grid}, num_prefix={self.num_prefix}"


@lru_cache(maxsize=32)
def _index(grid: Grid, num_prefix: int) -> Tensor:
    """Row of the table for each (query, key), ``(P + N, P + N)``."""
    height, width = grid
    axes = [torch.arange(n, device="cpu") for n in grid]  # cached, so never on a default device
    cells = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    offsets = cells[:, :, None] - cells[:, None, :]  # (2, N, N), query minus key
    patches = (offsets[0] + height - 1) * (2 * width - 1) + offsets[1] + width - 1
    if num_prefix == 0:
        return patches
    last = (2 * height - 1) * (2 * width - 1)
    index = patches.new_empty(num_prefix + len(patches), num_prefix + len(patches))
    index[num_prefix:, num_prefix:] = patches
    index[:num_prefix] = last
    index[:, :num_prefix] = last + 1
    index[:num_prefix, :num_prefix] = last + 2
    return index


def resize_relative_table(table: Tensor, source: Grid, target: Grid) -> Tensor:
    """A table of relative positions for another grid, by BEiT's rule.

    The known offsets are put on coordinates whose distances grow geometrically, so that the outermost reach
    the outermost offset of the target; a bicubic interpolating spline through them is read at the whole
    offsets of the target. The rows of prefix tokens stay. Differentiable.

    Args:
        table: ``((2 h - 1) (2 w - 1) [+ 3], M)``.
        source: its grid ``(h, w)``.
        target: the wanted grid.

    Returns:
        ``((2 h' - 1) (2 w' - 1) [+ 3], M)``.

    Example:
        >>> resize_relative_table(torch.ones(27 * 27 + 3, 2), (14, 14), (20, 20)).shape
        torch.Size([1524, 2])
    """
    if source == target:
        return table
    sides = tuple(2 * n - 1 for n in source)
    offsets, prefix = table.split([sides[0] * sides[1], len(table) - sides[0] * sides[1]])
    by_row, by_column = (
        torch.from_numpy(_spline_matrix(s, 2 * t - 1)).to(table.device) for s, t in zip(sides, target)
    )
    offsets = torch.einsum("ai,bj,ijm->abm", by_row, by_column, offsets.double().unflatten(0, sides))
    return torch.cat([offsets.flatten(0, 1).to(table.dtype), prefix])


@lru_cache(maxsize=64)
def _spline_matrix(source: int, target: int) -> np.ndarray:
    """``(target, source)``: values at whole offsets from values at the geometric coordinates."""
    from scipy.interpolate import make_interp_spline

    if source == target:
        return np.eye(source)
    half = _geometric_coordinates(source // 2, target // 2)
    known = np.concatenate([-half[::-1], [0.0], half])
    wanted = np.clip(np.arange(target) - target // 2, known[0], known[-1])
    if source == 1:
        return np.ones((target, 1))
    return make_interp_spline(known, np.eye(source), k=min(3, source - 1))(wanted)


def _geometric_coordinates(count: int, reach: int) -> np.ndarray:
    """1, 1 + q, 1 + q + q^2, ... with the q in [1.01, 1.5] that brings the last to ``reach``."""
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        q = (low + high) / 2
        if (1 - q**count) / (1 - q) > reach:
            high = q
        else:
            low = q
    return np.cumsum(q ** np.arange(count))
