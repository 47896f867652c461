"""Images and ground truth at another size. A value stands at its pixel's centre: edges stay edges."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dense3d.errors import ConfigError

METHODS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}


def resize_image(image: np.ndarray, size: tuple[int, int], method: str = "bilinear") -> np.ndarray:
    """Pillow's resizing, which averages where it shrinks.

    Args:
        image: (H, W, 3) uint8.
        size: height and width of the result.
        method: one of :data:`METHODS`.

    Raises:
        ConfigError: no such method.
    """
    if method not in METHODS:
        raise ConfigError(f"interpolation must be one of {', '.join(METHODS)}, not {method!r}")
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), METHODS[method]))


def resize_nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The nearest value for each pixel of the result: unknown ones do not mix with their neighbours.

    Args:
        values: (H, W) or (H, W, C).
        size: height and width of the result.

    Example:
        >>> resize_nearest(np.arange(8.0).reshape(2, 4), (2, 2)).tolist()
        [[1.0, 3.0], [5.0, 7.0]]
    """
    rows, columns = (_nearest(new, old) for new, old in zip(size, values.shape))
    return values[rows[:, None], columns]


def scatter(values: np.ndarray, known: np.ndarray, size: tuple[int, int], empty: float) -> np.ndarray:
    """Move each known value to the pixel that its own becomes: of sparse maps no value is lost or repeated.

    Where several come together, when the map shrinks, the last one in reading order stays.

    Args:
        values: (H, W) or (H, W, C).
        known: (H, W) bool.
        size: height and width of the result.
        empty: value of pixels that get none.
    """
    rows, columns = np.nonzero(known)
    taken = values[rows, columns]
    height, width = size
    rows = np.clip(((rows + 0.5) * height / values.shape[0]).astype(np.int64), 0, height - 1)
    columns = np.clip(((columns + 0.5) * width / values.shape[1]).astype(np.int64), 0, width - 1)
    moved = np.full((height, width, *values.shape[2:]), empty, dtype=values.dtype)
    moved[rows, columns] = taken
    return moved


def pyramid(image: np.ndarray, levels: int, method: str = "lanczos") -> list[np.ndarray]:
    """The image and ``levels - 1`` smaller ones, each half as large as the one before and made of it."""
    images = [image]
    for _ in range(levels - 1):
        height, width = images[-1].shape[:2]
        images.append(resize_image(images[-1], (-(-height // 2), -(-width // 2)), method))
    return images


def _nearest(new: int, old: int) -> np.ndarray:
    return np.minimum(((np.arange(new) + 0.5) * (old / new)).astype(np.int64), old - 1)
