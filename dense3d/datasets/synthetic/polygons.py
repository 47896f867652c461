"""Exact polygons of binary masks: outlines along pixel borders, so that decoding gives the mask back."""

from __future__ import annotations

import numpy as np


def mask_to_polygons(mask: np.ndarray) -> list[list[float]]:
    """COCO polygons whose union is exactly ``mask``.

    COCO's polygons cannot have holes: a region with a hole is cut through it into parts without any.

    Args:
        mask: (H, W) bool.

    Returns:
        Polygons [x0, y0, x1, y1, ...] in COCO's continuous pixel coordinates (pixel (0, 0) covers [0, 1]^2).

    Example:
        >>> mask_to_polygons(np.array([[0, 1, 1]], bool))
        [[1.0, 0.0, 3.0, 0.0, 3.0, 1.0, 1.0, 1.0]]
        >>> len(mask_to_polygons(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)))
        2
    """
    loops = _outlines(mask)
    holes = [loop for loop in loops if _signed_area(loop) < 0]
    if holes:
        cut = int(np.mean([point[0] for point in holes[0]]))
        left, right = mask.copy(), mask.copy()
        left[:, cut:] = False
        right[:, :cut] = False
        return mask_to_polygons(left) + mask_to_polygons(right)
    return [[float(value) for point in loop for value in point] for loop in loops]


def _outlines(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """Closed loops of corner points; regions run clockwise on the screen, holes counter-clockwise.

    Diagonal neighbours are separate regions (4-connectivity), so that no loop touches itself.
    """
    successors = _border_edges(mask)
    loops = []
    while successors:
        start = next(iter(successors))
        loop, point, heading = [], start, None
        while True:
            ends = successors[point]
            # Where two loops meet at a corner, the right turn stays with the same pixel.
            end = ends[0] if len(ends) == 1 else _right_turn(point, heading, ends)
            ends.remove(end)
            if not ends:
                del successors[point]
            step = (end[0] - point[0], end[1] - point[1])
            if step != heading:
                loop.append(point)
            point, heading = end, step
            if point == start:
                break
        if len(loop) > 1 and _aligned(loop[-1], loop[0], loop[1]):
            loop.pop(0)
        loops.append(loop)
    return loops


def _border_edges(mask: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Unit edges between inside and outside pixels, with the inside on the right: corner -> next corners."""
    padded = np.pad(mask.astype(bool), 1)
    inside = padded[1:-1, 1:-1]
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # open above: the top edge runs to the right
        (padded[1:-1, 2:], (1, 0), (1, 1)),  # right edge, downwards
        (padded[2:, 1:-1], (1, 1), (0, 1)),  # bottom edge, to the left
        (padded[1:-1, :-2], (0, 1), (0, 0)),  # left edge, upwards
    )
    for neighbour, (x0, y0), (x1, y1) in sides:
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            edges.setdefault((x + x0, y + y0), []).append((x + x1, y + y1))
    return edges


def _right_turn(
    point: tuple[int, int], heading: tuple[int, int] | None, ends: list[tuple[int, int]]
) -> tuple[int, int]:
    if heading is None:
        return ends[0]
    right = (point[0] - heading[1], point[1] + heading[0])
    return right if right in ends else ends[0]


def _aligned(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    return (b[0] - a[0]) * (c[1] - b[1]) == (b[1] - a[1]) * (c[0] - b[0])


def _signed_area(loop: list[tuple[int, int]]) -> float:
    """Shoelace formula; positive for a loop that runs clockwise on the screen (y down)."""
    points = np.array(loop, dtype=np.float64)
    following = np.roll(points, -1, axis=0)
    return float((points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]).sum() / 2)
