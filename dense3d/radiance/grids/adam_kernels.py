"""numba kernel of :class:`~dense3d.radiance.grids.adam.GridAdam`."""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit


@njit(nogil=True, error_model="numpy")
def adam(first, last, values, grad, mean, square, rates, betas, corrections, epsilon):
    """Planes ``first .. last - 1`` of grids (X, Y, Z, 4); voxels without gradient stay as they are."""
    for x in range(first, last):
        for y in range(values.shape[1]):
            for z in range(values.shape[2]):
                touched = False
                for c in range(4):
                    touched = touched or grad[x, y, z, c] != 0
                if not touched:
                    continue
                for c in range(4):
                    g = grad[x, y, z, c]
                    m = betas[0] * mean[x, y, z, c] + (1 - betas[0]) * g
                    s = betas[1] * square[x, y, z, c] + (1 - betas[1]) * g * g
                    mean[x, y, z, c], square[x, y, z, c] = m, s
                    move = (m / corrections[0]) / (np.sqrt(s / corrections[1]) + epsilon)
                    values[x, y, z, c] -= rates[c] * move
