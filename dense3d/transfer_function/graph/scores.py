"""Scores of supervoxels, read as scores of voxels where somebody looks."""

from __future__ import annotations

import numpy as np


class GraphScores:
    """One table of scores, one lookup a voxel; marked voxels always have the class that they were given.

    Args:
        class_ids: C classes, without the background.
        table: (C, R) uint8 scores of the R regions.
        ids: (X, Y, Z) int32 region of each voxel.
        voxels: (N, 3) marked voxels.
        marks: (C, N) uint8 scores of these.
    """

    def __init__(
        self,
        class_ids: tuple[int, ...],
        table: np.ndarray,
        ids: np.ndarray,
        voxels: np.ndarray,
        marks: np.ndarray,
    ) -> None:
        self.class_ids = class_ids
        self.table = np.ascontiguousarray(table)
        self._ids = ids
        self._voxels, self._marks = voxels, marks

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the working grid along each axis."""
        return self._ids.shape

    def plane(self, axis: int, index: int) -> np.ndarray:
        """(C, A, B) uint8 scores of one slice, its other two axes in ascending order."""
        scores = self.table[:, np.take(self._ids, index, axis=axis)]
        here = self._voxels[:, axis] == index
        first, second = (self._voxels[here, other] for other in range(3) if other != axis)
        scores[:, first, second] = self._marks[:, here]
        return scores

    def volume(self) -> np.ndarray:
        """(C, X, Y, Z) uint8 scores."""
        from dense3d.transfer_function.graph import kernels

        scores = np.empty((len(self.class_ids), *self.shape), np.uint8)
        kernels.gather(self.table, self._ids, scores)
        x, y, z = self._voxels.T
        scores[:, x, y, z] = self._marks
        return scores


def rivalry(probabilities: np.ndarray) -> np.ndarray:
    """Scores of the classes from probabilities: above a half exactly for the most probable class.

    ``p_c / (p_c + max of the others)``: with three classes of 0.4, 0.3 and 0.3 the first wins, though it
    has less than a half of the probability.

    Args:
        probabilities: (1 + C, R), the background first; any non-negative numbers.

    Returns:
        (C, R) float64 in 0 .. 1.

    Example:
        >>> rivalry(np.array([[0.3], [0.4], [0.3]])).ravel().round(2).tolist()
        [0.57, 0.43]
    """
    second, first = np.partition(probabilities, -2, axis=0)[-2:]
    others = np.where(probabilities == first, second, first)  # of equals each has the other
    total = np.maximum(probabilities + others, 1e-30)
    return (probabilities / total)[1:]
