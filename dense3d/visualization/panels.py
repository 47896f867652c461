"""Pictures side by side: label maps with a legend, and reconstructions of masked images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dense3d.visualization.colours import Colour, distinct_colours

GAP = 4
LINE = 18


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
    colours = np.array(palette or distinct_colours(len(classes)), dtype=np.uint8)
    panels, counts = [image], np.zeros(len(classes), dtype=np.int64)
    for labels in label_maps:
        known = (labels >= 0) & (labels < len(classes)) & (labels != ignore_index)
        panel = np.zeros_like(image)
        panel[known] = colours[labels[known]]
        counts += np.bincount(labels[known], minlength=len(classes))
        panels.append(panel)
    row = side_by_side(panels, most_pixels)
    shown = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    legend = _legend([(classes[i], colours[i]) for i in shown], row.shape[1])
    return np.concatenate([row, legend])


def side_by_side(panels: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Pictures ``(H, W, 3)`` of one size next to one another, each ``width`` pixels wide."""
    height = max(1, round(panels[0].shape[0] * width / panels[0].shape[1]))
    # nearest keeps the colours of label maps what the legend says
    resized = [cv2.resize(panel, (width, height), interpolation=cv2.INTER_NEAREST) for panel in panels]
    gap = np.full((height, GAP, 3), 255, dtype=np.uint8)
    pieces = [piece for panel in resized for piece in (gap, panel)][1:]
    return np.concatenate(pieces, axis=1)


def _legend(entries: Sequence[tuple[str, np.ndarray]], width: int) -> np.ndarray:
    """Coloured squares with names, in as many lines as ``width`` needs."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.42
    places, x, line = [], GAP, 0
    for name, _ in entries:
        needed = LINE + cv2.getTextSize(name, font, size, 1)[0][0] + 3 * GAP
        if x + needed > width and x > GAP:
            x, line = GAP, line + 1
        places.append((x, line))
        x += needed
    legend = np.full(((line + 1) * (LINE + GAP) + GAP, width, 3), 255, dtype=np.uint8)
    for (name, colour), (x, line) in zip(entries, places):
        y = GAP + line * (LINE + GAP)
        cv2.rectangle(legend, (x, y), (x + LINE - GAP, y + LINE - GAP), tuple(map(int, colour)), -1)
        cv2.putText(legend, name, (x + LINE, y + LINE - GAP - 2), font, size, (0, 0, 0), 1, cv2.LINE_AA)
    return legend
