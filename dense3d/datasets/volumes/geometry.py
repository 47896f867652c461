"""Shapes and affines of headers, judged before anything is done with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.errors import DataError

LONGEST_AXIS = 2**20  # voxels; no scanner comes near it, a damaged header soon does
MILLIMETRES = {
    "m": 1000.0,
    "meter": 1000.0,
    "centimeter": 10.0,
    "cm": 10.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "um": 1e-3,
    "\u00b5m": 1e-3,
    "\u03bcm": 1e-3,
    "micron": 1e-3,
    "micrometer": 1e-3,
    "nm": 1e-6,
    "nanometer": 1e-6,
    "angstrom": 1e-7,
    "inch": 25.4,
}


def checked_shape(path: str, sizes: Sequence[int], what: str = "voxels") -> tuple[int, int, int]:
    """(X, Y, Z) as integers.

    Raises:
        DataError: it is no volume, such as a single picture.
    """
    sizes = tuple(int(size) for size in sizes)
    text = " x ".join(map(str, sizes))
    if any(size < 1 for size in sizes) or any(size > LONGEST_AXIS for size in sizes):
        raise DataError(f"{path}: its header declares {text} {what}, which is no volume; it is damaged")
    if what == "voxels" and (len(sizes) < 3 or sum(size > 1 for size in sizes) < 3):
        raise DataError(
            f"{path}: it is a picture of {text} pixels and no volume; open a folder of slices, or a file "
            "with at least two of them"
        )
    return sizes


def checked_affine(path: str, affine: np.ndarray) -> np.ndarray:
    """(4, 4) float64 that can be inverted.

    Raises:
        DataError: it cannot.
    """
    affine = np.asarray(affine, np.float64)
    lengths = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if not (lengths > 1e-9).all() or (lengths > 1e6).any():
        text = " x ".join(f"{length:g}" for length in lengths)
        raise DataError(
            f"{path}: its voxels have a size of {text} mm; correct spacing and directions in its header"
        )
    if abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
        raise DataError(
            f"{path}: two of its axes point in the same direction; correct the directions in its header"
        )
    return affine


def spacing_affine(spacing: Sequence[float], origin: Sequence[float] = (0, 0, 0)) -> np.ndarray:
    """Axes along those of the world.

    Example:
        >>> spacing_affine((1, 2, 3)).tolist()[1]
        [0.0, 2.0, 0.0, 0.0]
    """
    affine = np.diag([*map(float, spacing), 1.0])
    affine[:3, 3] = origin
    return affine


def millimetres(unit: str | None) -> float | None:
    """How many of them one unit is; None where it is unknown.

    Example:
        >>> millimetres("micrometer"), millimetres("parsec")
        (0.001, None)
    """
    return MILLIMETRES.get(str(unit).strip().lower()) if unit else None
