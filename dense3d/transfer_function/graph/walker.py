"""The random walker on a graph: how probably a walker from each node reaches each class's seeds first."""

from __future__ import annotations

import numpy as np
from scipy import sparse

SEED = 1e4  # weight of a seed beside the largest degree: it holds its value to four digits
TOLERANCE = 1e-4
MOST_STEPS = 500


class Walker:
    """Combinatorial Dirichlet problem (Grady, TPAMI 2006, equation 9) with a pull to prior values.

    For each class c it minimises ``sum_ij w_ij (x_i - x_j)^2 + sum_i p_i (x_i - prior_ic)^2`` with
    ``x_i`` held at the seeds. ``p`` is the chance of a walker to stop at a node by itself and to be given
    that node's prior class (Grady, CVPR 2005, equation 6).

    Args:
        pairs: (E, 2) nodes of each edge.
        weights: (E,) positive conductances.
        count: number of nodes N.
        pull: (N,) weight ``p`` of the prior at each node; positive.
    """

    def __init__(self, pairs: np.ndarray, weights: np.ndarray, count: int, pull: np.ndarray) -> None:
        first, second = pairs.T
        both = (np.concatenate([first, second]), np.concatenate([second, first]))
        matrix = sparse.coo_matrix((np.concatenate([weights, weights]), both), (count, count)).tocsr()
        self.matrix = matrix.astype(np.float32)
        self.degree = np.asarray(matrix.sum(axis=1)).ravel()
        self.pull = np.asarray(pull, dtype=np.float64)
        self._seed_weight = SEED * float(max(self.degree.max(initial=0.0), self.pull.max(initial=0.0)))

    def solve(self, held: np.ndarray, values: np.ndarray, prior: np.ndarray) -> np.ndarray:
        """Probabilities by conjugate gradients with the diagonal as preconditioner, all classes at once.

        Args:
            held: (N, C) bool, the seeds of each class's problem.
            values: (N, C) what they are held at.
            prior: (N, C) values that nodes are pulled to.

        Returns:
            (N, C) float32.
        """
        seed = np.where(held, self._seed_weight, 0.0)
        diagonal = self.degree[:, None] + self.pull[:, None] + seed
        right = self.pull[:, None] * prior + seed * values
        x = (right / diagonal).astype(np.float32)
        return self._iterate(diagonal, right, x)

    def _iterate(self, diagonal: np.ndarray, right: np.ndarray, x: np.ndarray) -> np.ndarray:
        from dense3d.transfer_function.graph import kernels

        # scaled to a unit diagonal: D^-1/2 A D^-1/2, which float32 holds over many orders of magnitude
        starts, columns, weights = self.matrix.indptr, self.matrix.indices, self.matrix.data
        root = np.sqrt(diagonal)
        inverse = (1 / root).astype(np.float32)
        x = (x * root).astype(np.float32)
        right = (right / root).astype(np.float32)
        out = np.empty_like(x)

        def apply(v: np.ndarray) -> np.ndarray:
            kernels.multiply(starts, columns, weights, inverse, v, out)
            return out

        residual = right - apply(x)
        direction = residual.copy()
        energy = np.einsum("nc,nc->c", residual, residual)
        limit = np.maximum(TOLERANCE**2 * energy, 1e-30)  # the seeds alone outweigh everything in `right`
        for _ in range(MOST_STEPS):
            if (energy <= limit).all():
                break
            image = apply(direction)
            step = energy / np.maximum(np.einsum("nc,nc->c", direction, image), 1e-30)
            x += step * direction
            residual -= step * image
            before, energy = energy, np.einsum("nc,nc->c", residual, residual)
            direction *= energy / np.maximum(before, 1e-30)
            direction += residual
        return x / root.astype(np.float32)
