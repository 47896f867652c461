"""Plates with names on pictures, in letters that grow with the picture."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dense3d.visualization.canvas import SHORT_SIDE
from dense3d.visualization.colours import Colour

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

LEAST, MOST = 13, 44  # height of letters in pixels
LONGEST = 60  # letters
PAD = 2


def letter_size(picture: np.ndarray) -> int:
    """Height of the letters that suit a picture ``(H, W, 3)``, in pixels.

    Example:
        >>> [letter_size(np.zeros((n, 2 * n, 3), np.uint8)) for n in (20, 480, 1080, 4096)]
        [13, 13, 29, 44]
    """
    return int(np.clip(LEAST * min(picture.shape[:2]) / SHORT_SIDE, LEAST, MOST))


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
    letters = text_mask(text, letter_size(picture))[: picture.shape[0], : picture.shape[1]]
    height, width = letters.shape
    left, bottom = (corner[0] - width / 2, corner[1] + height / 2) if centred else corner
    left = int(np.clip(left, 0, picture.shape[1] - width))
    top = int(np.clip(bottom - height, 0, picture.shape[0] - height))
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    ink, share = 0 if bright else 255, letters[..., None] / 255
    plate = share * ink + (1 - share) * np.array(colour)
    picture[top : top + height, left : left + width] = plate.round().astype(np.uint8)


@lru_cache(maxsize=512)
def text_mask(text: str, size: int) -> np.ndarray:
    """``(h, w)`` uint8, 255 where there are letters, with a margin; letters of ``size`` pixels."""
    from PIL import Image, ImageDraw

    text = " ".join(str(text).split())
    text = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    font = _font(size)
    _, _, right, bottom = font.getbbox(text + "Áy")  # as high as any line, so that plates are alike
    right = font.getbbox(text)[2]
    plate = Image.new("L", (max(1, int(right)) + 2 * PAD, int(bottom) + PAD), 0)
    ImageDraw.Draw(plate).text((PAD, 0), text, fill=255, font=font)
    return np.asarray(plate)


@lru_cache(maxsize=8)
def _font(size: int) -> FreeTypeFont | ImageFont:
    """DejaVu Sans, which comes with matplotlib and knows Latin, Greek and Cyrillic letters."""
    from PIL import ImageFont

    spec = importlib.util.find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default()
