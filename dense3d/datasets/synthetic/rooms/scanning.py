"""What a scanner sees that stands in a furnished room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.datasets.synthetic.ray_casting import RayCaster
from dense3d.datasets.synthetic.rooms.furnishing import Room
from dense3d.structures.cloud_files.meshes import TriangleMesh

STANDPOINTS = (1, 3)  # least and greatest number of places
HEIGHT = (1.2, 1.7)  # metres of the scanner above the floor
REACH = 0.4  # standpoints lie so far from the middle, as a share of the room's sides
CLEARANCE = 0.3  # metres between a standpoint and the boxes of things
TRIES = 30
TOLERANCE = 0.01  # metres that a ray may meet a surface early, where it grazes one


def seen_by_scanner(
    room: Room, meshes: Sequence[TriangleMesh], points: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Which points of surfaces are in sight from one to three places in a room.

    Args:
        room: whose things the scanner does not stand in.
        meshes: all surfaces, which hide what is behind them.
        points: (N, 3) on those surfaces.
        rng: draws the places.

    Returns:
        (N,) bool.
    """
    caster = RayCaster([(mesh.vertices.astype(np.float32), mesh.triangles) for mesh in meshes])
    seen = np.zeros(len(points), dtype=bool)
    for _ in range(int(rng.integers(STANDPOINTS[0], STANDPOINTS[1] + 1))):
        origin = standpoint(room, rng).astype(np.float32)
        rays = np.ascontiguousarray(points - origin, dtype=np.float32)  # that end at t = 1
        distance = np.linalg.norm(rays, axis=1)
        seen |= caster.cast(origin, rays).t >= 1 - TOLERANCE / np.maximum(distance, TOLERANCE)
    return seen


def standpoint(room: Room, rng: np.random.Generator) -> np.ndarray:
    """A place clear of all things, or the last one that was tried."""
    boxes = np.array([item.box for item in room.items if item.box is not None]).reshape(-1, 7)
    for _ in range(TRIES):
        plan = rng.uniform(-REACH, REACH, 2) * room.size[:2]
        place = np.array([*plan, rng.uniform(*HEIGHT)])
        x, y = (place[:2] - boxes[:, :2]).T
        along = x * np.cos(boxes[:, 6]) + y * np.sin(boxes[:, 6])
        across = y * np.cos(boxes[:, 6]) - x * np.sin(boxes[:, 6])
        away = np.abs(np.column_stack([along, across, place[2] - boxes[:, 2]])) - boxes[:, 3:6] / 2
        if (away.max(axis=1, initial=-np.inf) > CLEARANCE).all():
            break
    return place
