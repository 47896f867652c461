"""Scores of supervoxels, read as scores of voxels where somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dense3d.transfer_function.graph.voxels import VoxelRefinement


class GraphScores:
    """One table of scores, one lookup a voxel, refined where classes meet.

    Marked voxels always have the class that they were given.

    Args:
        class_ids: C classes, without the background.
        table: (C, R) uint8 scores of the R regions.
        ids: (X, Y, Z) int32 region of each voxel.
        voxels: (N, 3) voxels with scores of their own.
        marks: (C, N) uint8 scores of these.
        held: how many of them, the last ones, are marked: refinement leaves these as they are.
        refinement: of voxels where classes meet; None leaves the scores of regions as they are.
    """

    def __init__(
        self,
        class_ids: tuple[int, ...],
        table: np.ndarray,
        ids: np.ndarray,
        voxels: np.ndarray,
        marks: np.ndarray,
        held: int = 0,
        refinement: VoxelRefinement | None = None,
    ) -> None:
        self.class_ids = class_ids
        self.table = np.ascontiguousarray(table)
        self._ids = ids
        self._voxels, self._marks = voxels, marks
        self._held = voxels[len(voxels) - held :]
        self._refinement = refinement

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the working grid along each axis."""
        return self._ids.shape

    def plane(self, axis: int, index: int) -> np.ndarray:
        """(C, A, B) uint8 scores of one slice, its other two axes in ascending order."""
        if self._refinement is None:
            place = [slice(None)] * 3
            place[axis] = slice(index, index + 1)
            return self._regional(tuple(place)).squeeze(axis + 1)
        slab = self._regional(self._refinement.slab(axis, index))
        return self._refinement.plane(slab, self._held, axis, index)

    def volume(self) -> np.ndarray:
        """(C, X, Y, Z) uint8 scores."""
        scores = self._regional((slice(None),) * 3)
        if self._refinement is not None:
            self._refinement.volume(scores, self._held)
        return scores

    def _regional(self, place: tuple[slice, slice, slice]) -> np.ndarray:
        """(C, ...) uint8 scores of a box before refinement."""
        from dense3d.transfer_function.graph import kernels

        ids = np.ascontiguousarray(self._ids[place])
        scores = np.empty((len(self.class_ids), *ids.shape), np.uint8)
        kernels.gather(self.table, ids, scores)
        voxels = self._voxels - [side.start or 0 for side in place]
        inside = ((voxels >= 0) & (voxels < ids.shape)).all(axis=1)
        x, y, z = voxels[inside].T
        scores[:, x, y, z] = self._marks[:, inside]
        return scores


def rivalry(probabilities: np.ndarray) -> np.ndarray:
    """Scores of the classes from probabilities: above a half exactly for the most probable class.

    ``p_c / (p_c + max of the others)``: with three classes of 0.4, 0.3 and 0.3 the first wins, though it
    has less than a half of the probability.

    Args:
        probabilities: (1 + C, R), the background first; any non-negative numbers.

    Returns:
        (C, R) of the same type, in 0 .. 1.

    Example:
        >>> rivalry(np.array([[0.3], [0.4], [0.3]])).ravel().round(2).tolist()
        [0.57, 0.43]
    """
    first, second = np.maximum(*probabilities[:2]), np.minimum(*probabilities[:2])
    for row in probabilities[2:]:
        np.maximum(second, np.minimum(first, row), out=second)
        np.maximum(first, row, out=first)
    others = np.where(probabilities == first, second, first)  # of equals each has the other
    total = np.maximum(probabilities + others, 1e-30)
    return (probabilities / total)[1:]
