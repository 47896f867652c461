"""Procedural textures: the albedo at a point of an object's own frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.ndimage import map_coordinates

from dense3d.datasets.synthetic.scene import Texture
from dense3d.datasets.synthetic.vectors import dot

LATTICE = 32


def albedo(texture: Texture, points: np.ndarray) -> np.ndarray:
    """Colour of a surface.

    Args:
        texture: what it is painted with.
        points: (N, 3) float32 points in the object's frame, metres.

    Returns:
        (N, 3) float32 linear RGB in [0, 1].

    Example:
        >>> checker = Texture("checker", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), scale=2.0)
        >>> albedo(checker, np.array([[0.5, 0.5, 0.5], [1.5, 0.5, 0.5]], np.float32))[:, 0].tolist()
        [0.0, 1.0]
    """
    periods = points / np.float32(texture.scale) + np.asarray(texture.offset, dtype=np.float32)
    weight = PATTERNS[texture.kind](periods, texture)[:, None].astype(np.float32)
    first, second = (np.asarray(color, dtype=np.float32) for color in (texture.first, texture.second))
    return first + weight * (second - first)


def value_noise(points: np.ndarray) -> np.ndarray:
    """Smooth noise in [0, 1]: random values on the integer lattice (period 32), interpolated linearly.

    Args:
        points: (N, 3) coordinates in lattice units.

    Returns:
        (N,) float32.
    """
    return map_coordinates(_lattice(), points.T, order=1, mode="grid-wrap", output=np.float32)


@lru_cache(maxsize=1)
def _lattice() -> np.ndarray:
    return np.random.default_rng(0).random((LATTICE, LATTICE, LATTICE), dtype=np.float32)


def _solid(periods: np.ndarray, texture: Texture) -> np.ndarray:
    return np.zeros(len(periods), dtype=np.float32)


def _checker(periods: np.ndarray, texture: Texture) -> np.ndarray:
    cells = np.floor(2 * periods)
    return (cells[:, 0] + cells[:, 1] + cells[:, 2]) % 2


def _stripes(periods: np.ndarray, texture: Texture) -> np.ndarray:
    return dot(periods, np.asarray(texture.direction, dtype=np.float32)) % 1 < 0.5


def _dots(periods: np.ndarray, texture: Texture) -> np.ndarray:
    offset = (periods % 1) - 0.5
    return dot(offset, offset) < 0.09


def _noise(periods: np.ndarray, texture: Texture) -> np.ndarray:
    coarse, fine = value_noise(2 * periods), value_noise(7 * periods)
    return np.clip(2.2 * (0.65 * coarse + 0.35 * fine - 0.5) + 0.5, 0, 1)


def _fractal(periods: np.ndarray, texture: Texture) -> np.ndarray:
    """Detail at every size from one period to a thirtieth of it, which does not repeat: what stereo needs."""
    octaves = ((1, 0.22), (2.9, 0.22), (6.3, 0.2), (13.7, 0.18), (29.3, 0.18))
    total = sum(np.float32(weight) * value_noise(frequency * periods) for frequency, weight in octaves)
    return np.clip(3.6 * (total - 0.5) + 0.5, 0, 1)


PATTERNS: dict[str, Callable[[np.ndarray, Texture], np.ndarray]] = {
    "solid": _solid,
    "checker": _checker,
    "stripes": _stripes,
    "dots": _dots,
    "noise": _noise,
    "fractal": _fractal,
}
