"""Drawing KITTI objects: 3D boxes projected into the image, and a view from above beside it."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from dense3d.datasets.kitti.objects import KittiObjects
from dense3d.structures.boxes3d import Boxes3D
from dense3d.structures.kitti_calibration import KittiCalibration
from dense3d.structures.projected_boxes import EDGES, NEAR
from dense3d.visualization.canvas import canvas
from dense3d.visualization.colours import Colour

LABEL_COLOUR: Colour = (40, 220, 70)
RESULT_COLOUR: Colour = (255, 70, 50)
FRONT = {(0, 1), (4, 5), (0, 4), (1, 5)}  # edges of the face that the heading points out of
BACKGROUND, GRID, POINT = (24, 24, 28), (60, 60, 66), (130, 130, 140)


def draw_boxes_3d(
    image: np.ndarray, objects: KittiObjects, calibration: KittiCalibration, colour: Colour = LABEL_COLOUR
) -> np.ndarray:
    """Draw the edges of 3D boxes as camera 2 sees them; the front face is drawn thicker.

    Args:
        image: (H, W, 3) RGB uint8.
        objects: those without a 3D box are left out.
        calibration: of the frame.
        colour: RGB.

    Returns:
        (H, W, 3) RGB picture.
    """
    picture = np.ascontiguousarray(image).copy()
    for corners in _boxes(objects).corners().numpy():
        for edge in EDGES:
            ends = _before_camera(corners[list(edge)])
            if ends is None:
                continue
            pixels, _ = calibration.project(ends)
            inside, start, end = cv2.clipLine((0, 0, *image.shape[1::-1]), *map(_integers, pixels))
            if inside:
                cv2.line(picture, start, end, colour, 2 if edge in FRONT else 1, cv2.LINE_AA)
    return picture


def draw_birds_eye_view(
    layers: list[tuple[KittiObjects, Colour]],
    height: int = 375,
    depth: float = 60.0,
    width: float = 40.0,
    points: np.ndarray | None = None,
) -> np.ndarray:
    """Draw footprints seen from above: the camera at the middle of the lower side, z upwards, x to the right.

    Args:
        layers: objects and the RGB colour of each group, later ones on top.
        height: of the picture in pixels.
        depth: metres shown ahead.
        width: metres shown to both sides together.
        points: (N, 3) in the camera frame, drawn as dots.

    Returns:
        (height, W, 3) RGB picture with a grid of 10 m.
    """
    scale = height / depth
    size = round(width * scale)
    picture = np.full((height, size, 3), BACKGROUND, dtype=np.uint8)

    def place(ground: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of (x, z)."""
        return np.stack([size / 2 + ground[..., 0] * scale, height - ground[..., 1] * scale], axis=-1)

    for distance in range(0, int(depth) + 1, 10):
        row = round(height - distance * scale)
        cv2.line(picture, (0, row), (size, row), GRID, 1)
    if points is not None:
        columns, rows = np.rint(place(points[:, [0, 2]])).astype(int).T
        seen = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < height)
        picture[rows[seen], columns[seen]] = POINT
    for objects, colour in layers:
        boxes = _boxes(objects)
        for footprint in place(boxes.footprint_corners().numpy()):
            cv2.polylines(picture, [np.rint(footprint).astype(np.int32)], True, colour, 1, cv2.LINE_AA)
            # the front side, and a line to it from the centre
            cv2.line(picture, *map(_integers, footprint[:2]), colour, 2, cv2.LINE_AA)
            ends = footprint.mean(axis=0), footprint[:2].mean(axis=0)
            cv2.line(picture, *map(_integers, ends), colour, 1, cv2.LINE_AA)
    return picture


def draw_frame(
    image: np.ndarray,
    calibration: KittiCalibration,
    labels: KittiObjects | None = None,
    results: KittiObjects | None = None,
    points: np.ndarray | None = None,
) -> np.ndarray:
    """A frame with its 3D boxes, labels green and results red, and the view from above to its right.

    The view reaches 30, 40, 50 or 60 m ahead, as far as there are objects; its lines stand 10 m apart.

    Args:
        image: (H, W, 3) RGB uint8.
        calibration: of the frame.
        labels, results: objects to draw.
        points: (N, 3) in the camera frame for the view from above.

    Returns:
        (H, W', 3) RGB picture.
    """
    groups = ((labels, LABEL_COLOUR), (results, RESULT_COLOUR))
    layers = [(objects, colour) for objects, colour in groups if objects is not None]
    picture = image
    for objects, colour in layers:
        picture = draw_boxes_3d(picture, objects, calibration, colour)
    reach = _reach([objects for objects, _ in layers])
    above = draw_birds_eye_view(layers, image.shape[0], reach, reach * 2 / 3, points)
    return np.concatenate([picture, above], axis=1)


def enlarged(
    image: np.ndarray, calibration: KittiCalibration, height: int = 375
) -> tuple[np.ndarray, KittiCalibration]:
    """An image to draw on, and its calibration: small ones with about ``height`` rows, huge ones reduced.

    Example:
        >>> calibration = KittiCalibration.pinhole(200.0, (160.0, 45.0))
        >>> image, calibration = enlarged(np.zeros((96, 320, 3), np.uint8), calibration)
        >>> image.shape, calibration.P2[0, 0].item()
        ((384, 1280, 3), 800.0)
    """
    image, (x, y) = canvas(image, height)
    # Pixel centres have whole numbers.
    matrix = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2]])
    return image, calibration.warped(matrix)


def _reach(groups: list[KittiObjects]) -> float:
    """Metres ahead that show all objects, 30 to 60."""
    boxed = [objects.select(objects.has_box3d) for objects in groups]
    farthest = max((objects.location[:, 2].max(initial=0.0) for objects in boxed), default=0.0)
    return float(np.clip(10 * np.ceil((farthest + 3) / 10), 30, 60))


def _boxes(objects: KittiObjects) -> Boxes3D:
    return Boxes3D(torch.from_numpy(objects.select(objects.has_box3d).boxes3d), "camera")


def _before_camera(ends: np.ndarray) -> np.ndarray | None:
    """(2, 3) the part of a line that lies before the camera's plane, None if there is none."""
    depth = ends[:, 2]
    if (depth < NEAR).all():
        return None
    if (depth >= NEAR).all():
        return ends
    near, far = (0, 1) if depth[0] < NEAR else (1, 0)
    cut = ends.copy()
    cut[near] = ends[near] + (NEAR - depth[near]) / (depth[far] - depth[near]) * (ends[far] - ends[near])
    return cut


def _integers(pixel: np.ndarray) -> tuple[int, int]:
    """Rounded, and within what OpenCV can hold."""
    column, row = np.clip(np.rint(pixel), -1e6, 1e6).astype(int)
    return int(column), int(row)
