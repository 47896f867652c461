"""The letters R, L, A, P, S, I in a corner of a picture: where the sides of the patient are."""

from __future__ import annotations

import numpy as np

from dense3d.transfer_function.view_camera import Camera

# letter, direction in RAS+
SIDES = (
    ("R", (1, 0, 0)),
    ("L", (-1, 0, 0)),
    ("A", (0, 1, 0)),
    ("P", (0, -1, 0)),
    ("S", (0, 0, 1)),
    ("I", (0, 0, -1)),
)
SMALLEST = 96  # pixels of a picture's smaller side below which there is no room for it


def draw_marker(pixels: np.ndarray, camera: Camera) -> None:
    """Draw the marker into the lower left corner of (H, W, 3) uint8, in place; not if that is small."""
    import cv2

    height, width = pixels.shape[:2]
    smaller = min(height, width)
    if smaller < SMALLEST:
        return
    size = min(0.075 * smaller, 60.0)
    middle = np.array([1.5 * size + 4, height - 1.5 * size - 4])
    right, up = camera.axes
    ends = [
        (letter, float(np.dot(side, camera.direction)), np.array([np.dot(side, right), -np.dot(side, up)]))
        for letter, side in SIDES
    ]
    scale = size / 55
    for letter, towards, end in sorted(ends, key=lambda item: item[1]):  # what points away is drawn first
        bright = int(125 + 110 * (towards + 1) / 2)
        tip = middle + size * end
        cv2.line(pixels, _pixel(middle), _pixel(tip), (bright,) * 3, max(1, round(scale)), cv2.LINE_AA)
        if np.linalg.norm(end) < 0.25:
            continue  # it points at the viewer or away: its letter would lie on the others
        (wide, high), _ = cv2.getTextSize(letter, cv2.FONT_HERSHEY_SIMPLEX, 0.55 * scale, 1)
        corner = middle + 1.28 * size * end + np.array([-wide / 2, high / 2])
        for thickness, colour in ((3, (0, 0, 0)), (1, (bright,) * 3)):
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(pixels, letter, _pixel(corner), font, 0.55 * scale, colour, thickness, cv2.LINE_AA)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
