"""Pictures side by side: label maps with a legend, and reconstructions of masked images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dense3d.visualization.canvas import LONG_SIDE, nearest, resized
from dense3d.visualization.colours import Colour, class_colours
from dense3d.visualization.tags import text_mask

GAP = 4
LINE = 18
LETTERS = 12
CAPTION = 22  # pixels of the line above a panel
LEAST_LEGEND = 240  # pixels that a legend needs, however narrow the image is


def draw_segmentation(
    image: np.ndarray,
    label_maps: Sequence[np.ndarray],
    classes: Sequence[str],
    palette: Sequence[Colour] | None = None,
    ignore_index: int = 255,
    most_pixels: int = 640,
) -> np.ndarray:
    """An image beside label maps of it, with a legend of the classes that occur.

    Args:
        image: ``(H, W, 3)`` RGB, uint8.
        label_maps: ``(H, W)``, integers; pixels that are no class stay black.
        classes: class names.
        palette: RGB colour of each class.
        ignore_index: the label that is no class.
        most_pixels: width of a panel; larger images are made smaller, small ones larger.

    Returns:
        RGB picture: the image, each label map, and below them the legend, largest class first.

    Example:
        >>> labels = np.array([[0, 1], [255, 1]]).repeat(32, 0).repeat(32, 1)
        >>> draw_segmentation(np.zeros((64, 64, 3), np.uint8), [labels], ("sky", "sea")).shape[1]
        1284
    """
    colours = np.array(class_colours(palette, len(classes)), dtype=np.uint8)
    size = _panel_size(image, most_pixels)
    panels, counts = [image], np.zeros(len(classes), dtype=np.int64)
    for labels in label_maps:
        labels = nearest(labels, size)
        known = (labels >= 0) & (labels < len(classes)) & (labels != ignore_index)
        panel = np.zeros((*labels.shape, 3), dtype=np.uint8)
        panel[known] = colours[labels[known]]
        counts += np.bincount(labels[known], minlength=len(classes))
        panels.append(panel)
    row = side_by_side(panels, most_pixels)
    shown = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    legend = _legend([(classes[i], colours[i]) for i in shown], max(row.shape[1], LEAST_LEGEND))
    row = cv2.copyMakeBorder(
        row, 0, 0, 0, legend.shape[1] - row.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    return np.concatenate([row, legend])


def side_by_side(panels: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Pictures ``(H, W, 3)`` of one view next to one another, each ``width`` pixels wide, if not too high."""
    size = _panel_size(panels[0], width)
    # Nearest keeps the colours of label maps what the legend says; a photograph is made smaller smoothly.
    pieces = [resized(panel, size) if size[0] < panel.shape[1] else nearest(panel, size) for panel in panels]
    gap = np.full((size[1], GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([piece for panel in pieces for piece in (gap, panel)][1:], axis=1)


def captioned(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Pictures of one size side by side, each under its caption.

    Example:
        >>> panel = np.zeros((40, 60, 3), np.uint8)
        >>> captioned({"left": panel, "right": panel}).shape
        (62, 124, 3)
    """
    pieces = []
    for caption, panel in panels.items():
        line = np.full((CAPTION, panel.shape[1], 3), 255, dtype=np.uint8)
        letters = text_mask(caption, CAPTION - 9)[:, : line.shape[1]]
        line[2 : 2 + letters.shape[0], : letters.shape[1]] -= letters[: CAPTION - 2, :, None]
        pieces += [
            np.full((CAPTION + len(panel), GAP, 3), 255, dtype=np.uint8),
            np.concatenate([line, panel]),
        ]
    return np.concatenate(pieces[1:], axis=1)


def _panel_size(image: np.ndarray, width: int) -> tuple[int, int]:
    """Width and height of panels: ``width``, less where the panel would be higher than is good."""
    scale = min(width / image.shape[1], LONG_SIDE / image.shape[0])
    return max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))


def _legend(entries: Sequence[tuple[str, np.ndarray]], width: int) -> np.ndarray:
    """Coloured squares with names, in as many lines as ``width`` needs."""
    places, x, line = [], GAP, 0
    for name, _ in entries:
        needed = LINE + text_mask(name, LETTERS).shape[1] + 3 * GAP
        if x + needed > width and x > GAP:
            x, line = GAP, line + 1
        places.append((x, line))
        x += needed
    legend = np.full(((line + 1) * (LINE + GAP) + GAP, width, 3), 255, dtype=np.uint8)
    for (name, colour), (x, line) in zip(entries, places):
        y = GAP + line * (LINE + GAP)
        cv2.rectangle(legend, (x, y), (x + LINE - GAP, y + LINE - GAP), tuple(map(int, colour)), -1)
        letters = text_mask(name, LETTERS)[:, : max(0, width - x - LINE)]
        legend[y : y + letters.shape[0], x + LINE : x + LINE + letters.shape[1]] -= letters[..., None]
    return legend
