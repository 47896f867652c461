"""A furnished room seen all around from inside: what radiance fields and splats are fitted to.

World frame: x and y along the walls, z up, the floor at 0, the room's middle at the origin. Surfaces are
matt and the light is even, so that a surface has one colour from everywhere.
"""

from __future__ import annotations

import math

import numpy as np

from dense3d.datasets.synthetic.composition import Cameras, _sky
from dense3d.datasets.synthetic.scene import Scene
from dense3d.datasets.synthetic.stereo_scenes import FURNITURE, Placed, _lamp, _numbered, paint
from dense3d.structures.camera import PinholeCamera

VIEWS = 48
FIELD_OF_VIEW = 75.0  # degrees, horizontal
# Patterns as rooms have them: large and smooth ones more often than fine detail.
PATTERNS = {"noise": 0.45, "fractal": 0.2, "solid": 0.15, "checker": 0.1, "stripes": 0.1}
THICKNESS = 0.2  # metres of a wall
WALK = 0.72  # cameras stand on an ellipse of so many half sides of the room
FURNISHED = 0.42  # furniture stands within so many half sides
HEIGHTS = (1.1, 1.9)  # metres, between which cameras rise and sink


def compose_tour(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Scene, Cameras]:
    """A closed room with furniture in its middle, and cameras that walk around it and look across.

    Args:
        rng: source of all randomness.
        size: width and height of the images in pixels.
    """
    half = np.array([rng.uniform(2.6, 3.4), rng.uniform(2.2, 3.0)])
    height = float(rng.uniform(2.5, 3.0))
    placed = _closed_room(rng, half, height)
    for _ in range(rng.integers(5, 9)):
        piece = FURNITURE[rng.choice(len(FURNITURE))]
        x, y = rng.uniform(-FURNISHED, FURNISHED, 2) * half
        placed += piece(rng, float(x), float(y), height)
    cameras = tuple(_camera(rng, number / VIEWS, half, height, size) for number in range(VIEWS))
    return Scene(tuple(_numbered(placed, 1)), _lamp(rng), _sky(rng)), cameras


def _closed_room(rng: np.random.Generator, half: np.ndarray, height: float) -> list[Placed]:
    """Floor, ceiling, four walls, and pictures on those."""
    x, y = half
    span = (2 * x + 2 * THICKNESS, 2 * y + 2 * THICKNESS, THICKNESS)

    def surface(size: tuple, center: tuple, category: str = "wall") -> Placed:
        texture = paint(rng, rng.uniform(1.5, 3.0), (0.0, 0.5), PATTERNS)
        return Placed("box", size, center, texture, category)

    parts = [
        surface(span, (0.0, 0.0, -THICKNESS / 2), "ground"),
        surface(span, (0.0, 0.0, height + THICKNESS / 2)),
    ]
    for side in (-1, 1):
        across, along = side * (x + THICKNESS / 2), side * (y + THICKNESS / 2)
        parts.append(surface((THICKNESS, 2 * y + 2 * THICKNESS, height), (across, 0.0, height / 2)))
        parts.append(surface((2 * x + 2 * THICKNESS, THICKNESS, height), (0.0, along, height / 2)))
        for end in (-1, 1):  # far enough apart not to lie in one another
            wide, high, up = rng.uniform(0.5, 1.0), rng.uniform(0.4, 1.0), rng.uniform(1.2, 1.8)
            place = end * rng.uniform(0.3, 0.6)
            one, other = (paint(rng, 0.8, weights=PATTERNS) for _ in range(2))
            parts.append(Placed("box", (0.04, wide, high), (side * (x - 0.02), place * y, up), one))
            parts.append(Placed("box", (wide, 0.04, high), (place * x, side * (y - 0.02), up), other))
    return parts


def _camera(
    rng: np.random.Generator, turn: float, half: np.ndarray, height: float, size: tuple[int, int]
) -> PinholeCamera:
    """A camera at ``turn`` of the way around, which looks to the other side of the room."""
    angle = 2 * math.pi * turn
    outward = np.array([math.cos(angle), math.sin(angle)])
    low, high = HEIGHTS
    up = low + (min(high, height - 0.4) - low) * (0.5 - 0.5 * math.cos(5 * angle))
    position = np.array([*(WALK * half * outward), up])
    swing = 0.5 * math.sin(3 * angle)  # so that all corners are looked at
    across = np.array([math.cos(angle + math.pi + swing), math.sin(angle + math.pi + swing)])
    target = np.array([*(0.5 * half * across), rng.uniform(0.7, 1.5)])
    return PinholeCamera.look_at(position, target, *size, fov=math.radians(FIELD_OF_VIEW))
