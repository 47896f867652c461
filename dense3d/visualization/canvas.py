"""Pictures of a size that can be drawn on and looked at, so that memory and time are bounded."""

from __future__ import annotations

import cv2
import numpy as np

SHORT_SIDE = 480  # pixels that small images are enlarged to, so that names fit
LONG_SIDE = 4096  # pixels that huge images are reduced to


def canvas(
    image: np.ndarray, short_side: int = SHORT_SIDE, long_side: int = LONG_SIDE
) -> tuple[np.ndarray, np.ndarray]:
    """A copy of an image to draw on.

    Args:
        image: ``(H, W, 3)`` RGB uint8.
        short_side: small images are enlarged by a whole factor, so that their short side has about so many
            pixels, as far as ``long_side`` allows.
        long_side: larger images are reduced to it.

    Returns:
        ``(H', W', 3)``, and its scale in x and y.

    Example:
        >>> for size in (60, 80), (1000, 800), (9000, 6000), (1, 3000):
        ...     picture, scale = canvas(np.zeros((*size, 3), np.uint8))
        ...     picture.shape[:2], scale.round(3).tolist()
        ((480, 640), [8.0, 8.0])
        ((1000, 800), [1.0, 1.0])
        ((4096, 2731), [0.455, 0.455])
        ((1, 3000), [1.0, 1.0])
    """
    height, width = image.shape[:2]
    factor = min(max(1, round(short_side / min(height, width))), max(1, long_side // max(height, width)))
    scale = factor * min(1.0, long_side / (factor * max(height, width)))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return resized(image, size), np.array(size) / (width, height)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A copy of an image ``(H, W, 3)`` of another width and height.

    Example:
        >>> resized(np.zeros((8, 6, 3), np.uint8), (3, 4)).shape
        (4, 3, 3)
    """
    if image.shape[1::-1] == tuple(size):
        return np.ascontiguousarray(image).copy()
    reduced = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if reduced else cv2.INTER_CUBIC)


def nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Labels, ids or a mask ``(H, W, ...)`` at another width and height: every pixel is one of the original.

    Example:
        >>> nearest(np.array([[1, 2], [3, 4]]), (4, 2)).tolist()
        [[1, 1, 2, 2], [3, 3, 4, 4]]
    """
    if array.shape[1::-1] == tuple(size):
        return array
    columns, rows = (np.arange(n) * whole // n for n, whole in zip(size, array.shape[1::-1]))
    return array[rows[:, None], columns]


def blend(picture: np.ndarray, colours: np.ndarray, where: np.ndarray, opacity: float) -> None:
    """Mix colours into a picture, in place; fractions are cut off.

    Args:
        picture: ``(H, W, 3)`` uint8.
        colours: ``(H, W, 3)`` uint8, or one colour ``(3,)``.
        where: ``(H, W)`` bool.
        opacity: 0 .. 1 of the colours.
    """
    colours = np.ascontiguousarray(np.broadcast_to(np.asarray(colours, np.uint8), picture.shape))
    mixed = cv2.addWeighted(np.ascontiguousarray(picture), 1 - opacity, colours, opacity, -0.499)
    np.copyto(picture, mixed, where=where[..., None])
