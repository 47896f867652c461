"""A scalar volume with its place in the world: the voxels of a CT, MR or microscope scan.

Voxel index ``(i, j, k)`` is array index ``values[i, j, k]``; ``affine`` takes it to world millimetres in RAS+
(x to the right, y to the front, z to the head of a patient), NIfTI's convention. The centre of voxel
``(0, 0, 0)`` is at ``affine[:3, 3]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Volume:
    """One volume.

    Args:
        values: (X, Y, Z) of an integer or floating type; may be a memory map.
        affine: (4, 4) float64, voxel index to world millimetres, RAS+.
        name: what a person calls it: the name of its file.
        modality: "CT", "MR" ... where the file says it.
    """

    values: np.ndarray
    affine: np.ndarray
    name: str = "volume"
    modality: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three array axes."""
        return self.values.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between neighbouring voxel centres along the three array axes."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))
