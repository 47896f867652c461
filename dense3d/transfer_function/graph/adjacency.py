"""Which supervoxels touch, over what area, and how far intensity steps between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dense3d.transfer_function.graph.supervoxels import Supervoxels

MOST_NEIGHBOURS = 96  # of higher number; compact regions have about seven


@dataclass(frozen=True)
class Adjacency:
    """The E pairs of touching regions.

    Args:
        pairs: (E, 2) int32, ascending in each pair.
        area: (E,) float64 mm^2 of contact.
        step: (E,) float64 mean absolute difference of intensity across the contact.
    """

    pairs: np.ndarray
    area: np.ndarray
    step: np.ndarray


def adjacency(intensity: np.ndarray, regions: Supervoxels, spacing: tuple[float, float, float]) -> Adjacency:
    """Pairs of regions with common voxel faces.

    Args:
        intensity: (X, Y, Z) float32.
        regions: the partition of that grid.
        spacing: millimetres between voxels.
    """
    from dense3d.transfer_function.graph import kernels

    x, y, z = spacing
    neighbours = np.full((regions.count, MOST_NEIGHBOURS), -1, np.int32)
    area, step = np.zeros(neighbours.shape, np.float32), np.zeros(neighbours.shape, np.float32)
    kernels.contacts(intensity, regions.ids, np.array([y * z, x * z, x * y]), neighbours, area, step)
    found = neighbours >= 0
    pairs = np.stack([np.nonzero(found)[0].astype(np.int32), neighbours[found]], axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    areas = area[found].astype(np.float64)[order]
    return Adjacency(pairs[order], areas, step[found][order] / areas)
