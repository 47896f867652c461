"""A small volume whose structures are known."""

from __future__ import annotations

import numpy as np

from dense3d.structures.volume import Volume

DARK, BRIGHT = (4, 4, 4), (14, 10, 6)  # voxels within the cubes, canonical


def two_cubes() -> Volume:
    """A dark cube and a bright one in air; voxels of 1 x 2 x 3 mm, axes to the right, front and head."""
    values = np.zeros((20, 16, 12), np.int16)
    values[2:8, 2:8, 2:8] = 100
    values[11:18, 8:14, 4:10] = 300
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 10, 20, -30
    return Volume(values, affine, name="cubes.nii.gz")
