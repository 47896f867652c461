"""Products of many 3-vectors, column by column: numpy's reductions over an axis of length 3 are slow."""

from __future__ import annotations

import numpy as np


def dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Scalar products of (N, 3) with (N, 3) or (3,) vectors: (N,).

    Example:
        >>> dot(np.array([[1.0, 2.0, 3.0]]), np.array([1.0, 0.0, 2.0])).tolist()
        [7.0]
    """
    return first[:, 0] * second[..., 0] + first[:, 1] * second[..., 1] + first[:, 2] * second[..., 2]


def unit(vectors: np.ndarray) -> np.ndarray:
    """(N, 3) vectors scaled to length 1; zero stays zero.

    Example:
        >>> unit(np.array([[0.0, 3.0, 4.0], [0.0, 0.0, 0.0]])).tolist()
        [[0.0, 0.6, 0.8], [0.0, 0.0, 0.0]]
    """
    length = np.sqrt(dot(vectors, vectors))
    return vectors / np.maximum(length, np.asarray(1e-12, dtype=vectors.dtype))[:, None]
