"""The random walker on a graph: how probably a walker from each node reaches each class's seeds first."""

from __future__ import annotations

import numpy as np
from scipy import sparse

SEED = 1e4  # weight of a seed beside the largest degree: it holds its value to four digits
TOLERANCE = 1e-4  # of the first residual
MOST_STEPS = 1000


class Walker:
    """Combinatorial Dirichlet problem (Grady, TPAMI 2006, equation 9) with a pull to prior values.

    For each class c it minimises ``sum_ij w_ij (x_ic - x_jc)^2 + p sum_i (x_ic - prior_ic)^2`` with ``x_ic``
    held at the seeds. ``p`` is the chance of a walker to stop at a node by itself and to be given that
    node's prior class (Grady, CVPR 2005, equation 6).

    Args:
        pairs: (E, 2) nodes of each edge.
        weights: (E,) positive conductances.
        count: number of nodes N.
    """

    def __init__(self, pairs: np.ndarray, weights: np.ndarray, count: int) -> None:
        first, second = pairs.T
        both = (np.concatenate([first, second]), np.concatenate([second, first]))
        matrix = sparse.coo_matrix((np.concatenate([weights, weights]), both), (count, count)).tocsr()
        self._degree = np.asarray(matrix.sum(axis=1)).ravel()
        self._matrix = matrix.astype(np.float32)

    def solve(
        self,
        held: np.ndarray,
        values: np.ndarray,
        prior: np.ndarray,
        pull: float,
        tolerance: float = TOLERANCE,
        start: np.ndarray | None = None,
        most_steps: int = MOST_STEPS,
    ) -> np.ndarray:
        """Probabilities by conjugate gradients, preconditioned by the diagonal; threads share the classes.

        Args:
            held: (N, C) bool, the seeds of each class's problem.
            values: (N, C) what they are held at.
            prior: (N, C) values that nodes are pulled to.
            pull: positive weight ``p`` of the prior.
            tolerance: share of the first residual that may be left.
            start: (N, C) where to begin; the prior unless given.
            most_steps: after which it ends, however far it is.

        Returns:
            (N, C) float32.
        """
        from dense3d.ops.cpu_execution import parallel_for
        from dense3d.transfer_function.graph import walker_kernels as kernels

        nodes, classes = held.shape
        shape = (-(-classes // 8), nodes, 8)
        scales, rights, x = (np.zeros(shape, np.float32) for _ in range(3))
        values, prior, start = (
            np.ascontiguousarray(array, np.float32)
            for array in (values, prior, prior if start is None else start)
        )
        seed = SEED * max(float(self._degree.max(initial=0.0)), pull)
        kernels.lay_out(self._degree, held, values, prior, start, float(pull), seed, scales, rights, x)
        matrix = self._matrix
        arrays = (matrix.indptr, matrix.indices, matrix.data, scales, rights, x)
        parallel_for(kernels.conjugate_gradients, len(x), *arrays, tolerance, most_steps)
        found = np.empty((nodes, classes), np.float32)
        kernels.take_out(x, scales, found)
        return found
