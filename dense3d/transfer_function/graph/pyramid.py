"""The volume at scales that double, read at the centres of supervoxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

LEVELS = 4
FINEST = 4_000_000  # voxels of the finest level: filters of larger volumes would take minutes


@dataclass(frozen=True)
class Level:
    """The volume averaged over blocks.

    Args:
        values: (X', Y', Z') float32.
        factors: (3,) voxels of the volume to one of the level, along each axis.
        spacing: (3,) millimetres between voxels of the level.
    """

    values: np.ndarray
    factors: np.ndarray
    spacing: np.ndarray

    def indices(self, voxels: np.ndarray) -> np.ndarray:
        """Voxel indices (..., 3) of the volume as indices of the level."""
        return (voxels + 0.5) / self.factors - 0.5

    def read(self, values: np.ndarray, voxels: np.ndarray) -> np.ndarray:
        """``values`` on the level's grid, trilinearly at (..., 3) voxel indices of the volume; float32."""
        indices = np.moveaxis(self.indices(voxels), -1, 0)
        return ndimage.map_coordinates(values, indices, np.float32, order=1, mode="nearest")


def pyramid(intensity: np.ndarray, spacing: tuple[float, float, float]) -> list[Level]:
    """Levels from fine to coarse; each halves the axes whose voxels are not much longer than the shortest.

    Args:
        intensity: (X, Y, Z) float32.
        spacing: millimetres between voxels.
    """
    level = Level(intensity, np.ones(3), np.asarray(spacing, np.float64))
    while level.values.size > FINEST:
        level = _halved(level)
    levels = [level]
    while len(levels) < LEVELS:
        levels.append(_halved(levels[-1]))
    return levels


def _halved(level: Level) -> Level:
    values, factors = level.values, level.factors.copy()
    for axis in np.flatnonzero(level.spacing < 1.5 * level.spacing.min()):
        if values.shape[axis] > 1:
            odd = [(0, values.shape[axis] % 2 if other == axis else 0) for other in range(3)]
            values = np.pad(values, odd, mode="edge")
            halves = [np.take(values, range(start, values.shape[axis], 2), axis) for start in (0, 1)]
            values = 0.5 * (halves[0] + halves[1])
        factors[axis] *= 2
    return Level(values, factors, level.spacing / level.factors * factors)
