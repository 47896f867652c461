"""Radiance grids as pictures: three projections of what is in them, with boxes."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from dense3d.structures.boxes3d import boxes_of_corners

WHITE, BOX = 255, (214, 39, 40)
VIEWS = ((0, 1), (0, 2), (1, 2))  # axes to the right and upwards: from above, from the front, from the side
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))


def project(grid: np.ndarray, right: int, up: int) -> np.ndarray:
    """What is in a grid along the remaining axis, as an X-ray: mean colour by opacity, on white.

    Args:
        grid: ``(4, X, Y, Z)`` colour and opacity.
        right, up: axes of the grid, 0 to 2, that become the picture's.

    Returns:
        ``(up, right, 3)`` uint8, a pixel a voxel.

    Example:
        >>> grid = np.zeros((4, 2, 3, 5))
        >>> grid[:, 0, 0, 2] = (1, 0, 0, 1)
        >>> project(grid, 0, 1)[:, :, 1].tolist()  # red at the lower left
        [[255, 255], [255, 255], [0, 255]]
    """
    along = 3 - right - up
    color, alpha = np.clip(grid[:3], 0, 1), np.clip(grid[3], 0, 1)
    weight = alpha.sum(axis=along)
    mean = (color * alpha).sum(axis=along + 1) / np.maximum(weight, 1e-6)
    cover = 1 - np.prod(1 - alpha, axis=along)
    pixels = mean * cover + (1 - cover)
    pixels = pixels if right < up else pixels.transpose(0, 2, 1)
    return np.rint(255 * pixels[:, :, ::-1].transpose(2, 1, 0)).astype(np.uint8)


def draw_grid(grid: np.ndarray, width: int = 240, boxes: np.ndarray | None = None) -> np.ndarray:
    """Projections from above, from the front and from the side, one below the other.

    Args:
        grid: ``(4, X, Y, Z)`` colour and opacity.
        width: pixels of the longest side of the grid; all three have one scale.
        boxes: ``(N, 7)`` or ``(N, 6)`` in voxels, whose edges are drawn.

    Returns:
        ``(H, width, 3)`` RGB uint8.

    Raises:
        ValueError: the grid is none.
    """
    if grid.ndim != 4 or grid.shape[0] != 4:
        raise ValueError(f"a grid is (4, X, Y, Z), not {grid.shape}")
    scale, rows = width / max(grid.shape[1:]), []
    corners = None if boxes is None else box_corners(boxes)
    for right, up in VIEWS:
        picture = project(grid, right, up)
        size = [max(1, round(side * scale)) for side in (picture.shape[1], picture.shape[0])]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
        if corners is not None:
            _draw_edges(picture, corners[:, :, [right, up]] * scale)
        rows.append(
            cv2.copyMakeBorder(picture, 2, 2, 0, width - size[0], cv2.BORDER_CONSTANT, value=[WHITE] * 3)
        )
    return np.concatenate(rows)


def box_corners(boxes: np.ndarray) -> np.ndarray:
    """``(N, 8, 3)`` corners of oriented boxes ``(N, 7)`` or of low and high corners ``(N, 6)``.

    Example:
        >>> box_corners(np.array([[0.0, 0, 0, 1, 2, 3]]))[0, 6].tolist()
        [1.0, 2.0, 3.0]
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.shape[1] == 6:
        boxes = boxes_of_corners(torch.from_numpy(boxes)).numpy()
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
    along, across = signs[:, 0] * boxes[:, 3:4], signs[:, 1] * boxes[:, 4:5]  # (N, 4)
    cosine, sine = np.cos(boxes[:, 6:]), np.sin(boxes[:, 6:])
    plan = np.stack([along * cosine - across * sine, along * sine + across * cosine], -1) + boxes[:, None, :2]
    levels = [boxes[:, 2:3] + sign * boxes[:, 5:6] / 2 for sign in (-1, 1)]
    rows = [np.concatenate([plan, np.broadcast_to(z[:, None], (*plan.shape[:2], 1))], -1) for z in levels]
    return np.concatenate(rows, axis=1)


def label_grid(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Classes of voxels ``(X, Y, Z)``, 0 for none, as a grid of colours ``(K, 3)`` in 0..255."""
    values = np.zeros((4, *labels.shape), np.float32)
    values[:3] = np.moveaxis(colours[labels] / 255, -1, 0)
    values[3] = labels > 0
    return values


def _draw_edges(picture: np.ndarray, corners: np.ndarray) -> None:
    """Edges of boxes ``(N, 8, 2)``, in pixels from the lower left."""
    points = np.rint(corners * (1, -1) + (0, picture.shape[0])).astype(int)
    for box in points:
        for a, b in EDGES:
            cv2.line(picture, tuple(map(int, box[a])), tuple(map(int, box[b])), BOX, 1, cv2.LINE_AA)
