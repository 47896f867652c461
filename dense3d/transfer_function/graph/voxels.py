"""Scores of supervoxels refined to voxels where classes meet, along the edges of the volume.

Close to a border the classes of the voxels around vote: each voxel counts by its distance and by how
close its intensity is, as in a joint bilateral filter (Kopf et al., SIGGRAPH 2007, equation 3). Votes are
of classes and not means of scores, so that a sure side does not move the border into an unsure one. A
score is as far from a half as those around it where all agree, and is a half where two classes have as
many votes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

REACH = 2  # voxels that are refined on either side of a border
RADIUS = 2  # voxels that each of them sees along each axis
SPREAD = 1.5  # of the Gaussian of distances, in voxels of the shortest spacing
CONTRAST = 0.3  # of the Gaussian of differences of intensity, which is in 0 .. 1
LEVELS = 1024  # of its table
HALO = max(REACH, RADIUS)  # what a voxel's result depends on, in voxels along each axis


@dataclass(frozen=True)
class VoxelRefinement:
    """The filter of one volume.

    Args:
        intensity: (X, Y, Z) float32 in 0 .. 1.
        spacing: millimetres between voxels.
    """

    intensity: np.ndarray
    spacing: tuple[float, float, float]

    def volume(self, scores: np.ndarray, held: np.ndarray) -> None:
        """Refine scores in place.

        Args:
            scores: (C, X, Y, Z) uint8, contiguous.
            held: (N, 3) voxels whose scores stay.
        """
        self._refine(scores, self.intensity, held, (slice(None),) * 3)

    def slab(self, axis: int, index: int) -> tuple[slice, slice, slice]:
        """The part of the volume that the refined scores of one slice depend on."""
        place = [slice(None)] * 3
        place[axis] = slice(max(0, index - HALO), index + HALO + 1)
        return tuple(place)

    def plane(self, scores: np.ndarray, held: np.ndarray, axis: int, index: int) -> np.ndarray:
        """(C, A, B) refined scores of one slice: those of :meth:`volume`.

        Args:
            scores: (C, ...) uint8 of its :meth:`slab`, contiguous.
            held: (N, 3) voxels of the volume whose scores stay.
            axis: across which the slice is.
            index: of the slice.
        """
        slab = self.slab(axis, index)
        middle = index - slab[axis].start
        there = held[held[:, axis] == index].copy()
        there[:, axis] = middle
        only = (slice(None),) * axis + (slice(middle, middle + 1),)
        self._refine(scores, np.ascontiguousarray(self.intensity[slab]), there, only)
        return np.take(scores, middle, axis + 1)

    @staticmethod
    def compile() -> None:
        """Have the loops compiled, which takes seconds where it was never done, before somebody waits."""
        tiny = VoxelRefinement(np.zeros((1, 1, 2), np.float32), (1.0, 1.0, 1.0))
        tiny.volume(np.array([0, 255], np.uint8).reshape(1, 1, 1, 2), np.empty((0, 3), np.int32))

    def _refine(self, scores: np.ndarray, intensity: np.ndarray, held: np.ndarray, where: tuple) -> None:
        from dense3d.ops.cpu_execution import parallel_for
        from dense3d.transfer_function.graph import voxel_kernels

        labels = np.empty(intensity.shape, np.uint8)
        parallel_for(voxel_kernels.find_winners, len(labels), scores, labels)
        band = np.zeros(intensity.shape, bool)
        parallel_for(voxel_kernels.mark_borders, len(band), labels, REACH, band)
        band[tuple(held.T)] = False
        chosen = np.zeros_like(band)
        chosen[where] = band[where]
        places = np.flatnonzero(chosen)
        values = np.empty((len(places), len(scores)), np.uint8)
        arrays = scores, labels, intensity, places, *self._weights, values
        parallel_for(voxel_kernels.vote, len(places), *arrays)
        for c, of_class in enumerate(scores):
            of_class.reshape(-1)[places] = values[:, c]

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(5, 5, 5) weights of places, and (1024,) of differences of intensity from 0 to 1."""
        steps = np.arange(-RADIUS, RADIUS + 1)
        along = [np.exp(-0.5 * (steps * width / min(self.spacing) / SPREAD) ** 2) for width in self.spacing]
        alike = np.exp(-0.5 * (np.linspace(0, 1, LEVELS) / CONTRAST) ** 2)
        return np.einsum("i,j,k->ijk", *along).astype(np.float32), alike.astype(np.float32)
