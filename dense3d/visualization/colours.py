"""Colours of classes, and plates with their names."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

Colour = tuple[int, int, int]


def distinct_colours(count: int) -> list[Colour]:
    """RGB colours that differ in hue as much as ``count`` allows, neighbours most of all.

    Example:
        >>> len(set(distinct_colours(20)))
        20
    """
    golden = 0.618033988749895  # steps of the golden ratio never come close to an earlier hue
    hues = [(0.02 + golden * i) % 1.0 for i in range(count)]
    return [
        tuple(round(255 * v) for v in colorsys.hsv_to_rgb(h, (0.95, 0.65)[i % 2], 1.0))
        for i, h in enumerate(hues)
    ]


def draw_tag(
    picture: np.ndarray, text: str, corner: np.ndarray, colour: Colour, centred: bool = False
) -> None:
    """The class name on a plate of the class's colour, kept inside the picture.

    Args:
        picture: ``(H, W, 3)`` RGB, drawn on.
        text: the name.
        corner: x, y of the plate's lower left corner in pixels.
        colour: of the plate.
        centred: ``corner`` is the plate's middle instead.
    """
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.42
    (width, height), base = cv2.getTextSize(text, font, size, 1)
    if centred:
        corner = corner[0] - width / 2 - 2, corner[1] + (height + base) / 2 + 1
    x = int(np.clip(corner[0], 0, max(0, picture.shape[1] - width - 4)))
    y = int(np.clip(corner[1], height + base + 2, picture.shape[0]))
    cv2.rectangle(picture, (x, y - height - base - 2), (x + width + 4, y), colour, -1)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    cv2.putText(picture, text, (x + 2, y - base), font, size, ink, 1, cv2.LINE_AA)
