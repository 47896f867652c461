"""The bilateral solver in 3D: a map follows the edges of the volume that it belongs to.

Barron and Poole, "The Fast Bilateral Solver", ECCV 2016, with three spatial axes as in Engel, Sick and
Ropinski, TVCG 2024. Voxels are gathered in the cells of a six-dimensional grid (three places, luma, two
chromas); the result is the smoothest function of the occupied cells that stays near the map. All of it is in
float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dense3d.errors import ConfigError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

YUV = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
YUV_OFFSET = np.array([0.0, 128.0, 128.0])
DIMENSIONS = 6
DENSE = 2**26  # places of a grid up to which a table of all of them is kept
CONFIDENCE = 0.9


@dataclass(frozen=True)
class GridSizes:
    """Cell sizes of the grid: in voxels, and in grey values of 0 ... 255.

    Raises:
        ConfigError: one is not above 0.
    """

    spatial: float = 24
    luma: float = 4
    chroma: float = 4

    def __post_init__(self) -> None:
        for name in ("spatial", "luma", "chroma"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name}={getattr(self, name)} of a bilateral grid: cells have a size above 0"
                )


@dataclass(frozen=True)
class SolverOptions:
    """Of the linear system and its solution.

    Args:
        lam: weight of smoothness.
        diagonal_min: least diagonal element in the preconditioner.
        tolerance: of the residual, relative to the right side.
        iterations: of conjugate gradients, at most; 25 are often short of the solution by a few hundredths.
        exact: solve directly instead.
        official_start: start conjugate gradients from the quotient of sums even where it is 0 / 0, as the
            official code does: one cell without confidence then makes all of the result 0.
    """

    lam: float = 256
    diagonal_min: float = 1e-5
    tolerance: float = 1e-5
    iterations: int = 25
    exact: bool = False
    official_start: bool = False


@dataclass
class BilateralGrid:
    """The occupied cells of a reference volume.

    Args:
        reference: (X, Y, Z) grey or (3, X, Y, Z) RGB, uint8.
        sizes: of the cells.
        iterations: of the bistochastisation.

    Attributes:
        vertex: (X Y Z,) index of the cell of each voxel, in C order.
        counts: voxels of each cell.
    """

    reference: np.ndarray
    sizes: GridSizes = field(default_factory=GridSizes)
    iterations: int = 10

    def __post_init__(self) -> None:
        self.shape = self.reference.shape[-3:]
        colour, table = self._colours()
        places = [(np.arange(n) / self.sizes.spatial).astype(np.int64) for n in self.shape]
        x, y, z = np.ix_(*places)
        self._extent = tuple(int(p[-1]) + 1 for p in places)
        self._colour_table, self._colour_count = table, int(table.max()) + 1
        _, ny, nz = self._extent
        key = (((x * ny + y) * nz + z) * self._colour_count + colour).ravel()
        size = int(np.prod(self._extent)) * self._colour_count
        if size <= DENSE:
            counts = np.bincount(key, minlength=size)
            self.keys = np.flatnonzero(counts)  # of the occupied cells, ascending
            index = np.empty(size, np.int64)
            index[self.keys] = np.arange(len(self.keys))
            self.vertex, self.counts = index[key], counts[self.keys].astype(np.float64)
        else:
            self.keys, self.vertex, counts = np.unique(key, return_inverse=True, return_counts=True)
            self.vertex, self.counts = self.vertex.ravel(), counts.astype(np.float64)

    def _colours(self) -> tuple[np.ndarray, np.ndarray]:
        """Number of each voxel's combination of luma and chromas; the (L, U, V) table of numbers or -1."""
        reference = self.reference
        if reference.ndim == 4 and (reference[:1] == reference[1:]).all():
            reference = reference[0]
        if reference.ndim == 3:
            pixels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        else:
            pixels = np.moveaxis(reference, 0, -1).reshape(-1, 3)
        yuv = np.tensordot(pixels, YUV, ([1], [1])) + YUV_OFFSET
        cells = (yuv / (self.sizes.luma, self.sizes.chroma, self.sizes.chroma)).astype(np.int64)
        if reference.ndim == 3:
            used = np.flatnonzero(np.bincount(reference.ravel(), minlength=256))
            cells = np.where(np.isin(np.arange(256), used)[:, None], cells, cells[used[0]])
        lowest = cells.min(0)
        cells = cells - lowest
        shape = cells.max(0) + 1
        flat = np.ravel_multi_index(cells.T, shape)
        table = np.full(int(np.prod(shape)), -1, np.int64)
        occupied = np.flatnonzero(np.bincount(flat, minlength=len(table)))
        table[occupied] = np.arange(len(occupied))
        numbers = table[flat]
        colour = numbers[reference] if reference.ndim == 3 else numbers.reshape(self.shape)
        return colour, table.reshape(shape)

    def splat(self, values: np.ndarray) -> np.ndarray:
        """Sums (V,) over the voxels of each cell of (X, Y, Z) or flat values."""
        return np.bincount(self.vertex, np.asarray(values, np.float64).ravel(), minlength=len(self.keys))

    def slice(self, values: np.ndarray) -> np.ndarray:
        """The value of its cell for each voxel, (X, Y, Z)."""
        return values[self.vertex].reshape(self.shape)

    @cached_property
    def neighbours(self) -> csr_matrix:
        """(V, V) with ones between cells that are next to each other along one of the six dimensions."""
        from scipy.sparse import csr_matrix

        count = len(self.keys)
        place, colour = np.divmod(self.keys, self._colour_count)
        _, ny, nz = self._extent
        x, y, z = place // (ny * nz), place // nz % ny, place % nz
        steps = (ny * nz, nz, 1)
        pairs = []
        for position, extent, step in zip((x, y, z), self._extent, steps):
            source = np.flatnonzero(position + 1 < extent)
            pairs.append(self._present(source, self.keys[source] + step * self._colour_count))
        colours = np.argwhere(self._colour_table >= 0)
        colours = colours[np.argsort(self._colour_table[tuple(colours.T)])]  # (L, U, V) of each number
        for axis in range(3):
            moved = colours.copy()
            moved[:, axis] += 1
            inside = moved[:, axis] < self._colour_table.shape[axis]
            target = np.where(inside, self._colour_table[tuple((moved * inside[:, None]).T)], -1)
            source = np.flatnonzero(target[colour] >= 0)
            pairs.append(self._present(source, self.keys[source] + target[colour[source]] - colour[source]))
        rows, columns = (np.concatenate(side) for side in zip(*pairs))
        both = np.concatenate([rows, columns]), np.concatenate([columns, rows])
        return csr_matrix((np.ones(2 * len(rows)), both), shape=(count, count))

    def _present(self, source: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those of the pairs whose second cell, given by its key, is occupied."""
        found = np.searchsorted(self.keys, wanted)
        found[found == len(self.keys)] = 0
        there = self.keys[found] == wanted
        return source[there], found[there]

    def blur(self, values: np.ndarray) -> np.ndarray:
        """[1 2 1] along each of the six dimensions, summed: centre 12, each present neighbour 1."""
        return 2 * DIMENSIONS * values + self.neighbours @ values

    def filter(self, values: np.ndarray) -> np.ndarray:
        """Splat, blur and slice (X, Y, Z), over the same of ones."""
        ones = self.slice(self.blur(self.counts))
        return self.slice(self.blur(self.splat(values))) / ones

    @cached_property
    def bistochastic(self) -> tuple[np.ndarray, np.ndarray]:
        """Diagonals n and m that make ``diag(n) B diag(n)`` have row sums m, near the cells' counts."""
        n = np.ones(len(self.keys))
        for _ in range(self.iterations):
            n = np.sqrt(n * self.counts / self.blur(n))
        return n, n * self.blur(n)

    def solve(
        self, target: np.ndarray, confidence: np.ndarray | float, options: SolverOptions | None = None
    ) -> np.ndarray:
        """The smooth function that stays near ``target`` where ``confidence`` is high, (X, Y, Z) float64.

        Cells without any confidence start from 0 and take their neighbours' values.

        Args:
            target: (X, Y, Z).
            confidence: (X, Y, Z), or one number for all voxels.
            options: the official ones unless given.
        """
        from scipy.sparse import diags
        from scipy.sparse.linalg import spsolve

        options = options or SolverOptions()
        confidence = np.broadcast_to(np.asarray(confidence, np.float64), self.shape)
        weights = self.splat(confidence)
        right = self.splat(np.asarray(target, np.float64) * confidence)
        n, m = self.bistochastic
        smooth = diags(m - 2 * DIMENSIONS * n * n) - diags(n) @ self.neighbours @ diags(n)
        system = (options.lam * smooth + diags(weights)).tocsr()
        if options.exact:
            solution = np.atleast_1d(spsolve(system.tocsc(), right))
        else:
            start = np.divide(right, weights, out=np.zeros_like(right), where=weights > 0)
            if options.official_start and not weights.all():
                return np.zeros(self.shape)  # NaN in every cell after the first product
            solution = conjugate_gradients(system, right, start, options)
        return np.nan_to_num(self.slice(solution))


def conjugate_gradients(
    system: csr_matrix, right: np.ndarray, start: np.ndarray, options: SolverOptions
) -> np.ndarray:
    """Preconditioned by the inverse diagonal, until the tolerance or the number of iterations is reached."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import cg

    preconditioner = diags(1 / np.maximum(system.diagonal(), options.diagonal_min))
    named = dict(M=preconditioner, maxiter=int(options.iterations), atol=0.0)
    try:
        return cg(system, right, start, rtol=options.tolerance, **named)[0]
    except TypeError:  # before SciPy 1.12
        return cg(system, right, start, tol=options.tolerance, **named)[0]


def gradient_confidence(reference: np.ndarray) -> np.ndarray:
    """Confidence that is low at edges: max(G) - G, with G the central differences' length, zeros outside.

    Args:
        reference: (X, Y, Z) uint8.
    """
    padded = np.pad(reference.astype(np.float32) / 255.0, 1)
    centre = slice(1, -1)
    squares = 0.0
    for axis in range(3):
        after, before = [centre] * 3, [centre] * 3
        after[axis], before[axis] = slice(2, None), slice(None, -2)
        squares = squares + (0.5 * (padded[tuple(after)] - padded[tuple(before)])) ** 2
    gradient = np.sqrt(squares)
    return gradient.max() - gradient
