"""A body with two organs and a bone, in Hounsfield units, and where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SHAPE = (72, 60, 44)  # R, A, S
SPACING = (1.5, 1.5, 2.5)
# name: centre and radii in voxels, value
RIGHT, LEFT, BONE = "right organ", "left organ", "bone"
ORGANS = {
    RIGHT: ((48, 32, 22), (11, 10, 10), 160),
    LEFT: ((20, 30, 24), (9, 11, 9), 320),
    BONE: ((35, 12, 22), (5, 4, 30), 900),
}
BODY = ((36, 30, 22), (33, 27, 60), 20)
AIR = -1000


def inside(centre: tuple, radii: tuple) -> np.ndarray:
    """(X, Y, Z) bool of an ellipsoid."""
    axes = np.ogrid[tuple(slice(n) for n in SHAPE)]
    return sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii)) <= 1


def organ(name: str) -> np.ndarray:
    """(X, Y, Z) bool on the canonical grid."""
    return inside(*ORGANS[name][:2])


def values() -> np.ndarray:
    """(X, Y, Z) int16 on the canonical grid, with noise."""
    volume = np.full(SHAPE, AIR, np.float32)
    volume[inside(*BODY[:2])] = BODY[2]
    for name, (*_, value) in ORGANS.items():
        volume[organ(name)] = value
    noise = np.random.default_rng(0).normal(0, 6, SHAPE)
    return np.rint(volume + noise).astype(np.int16)


def write_phantom(path: Path) -> Path:
    """A file whose axes run to the left, to the back and to the feet: not the tool's own."""
    import nibabel

    affine = np.diag([-SPACING[0], -SPACING[1], -SPACING[2], 1.0])
    affine[:3, 3] = 60, 50, 70
    image = nibabel.Nifti1Image(values()[::-1, ::-1, ::-1], affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path
