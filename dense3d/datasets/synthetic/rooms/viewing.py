"""Photographs with depth of a furnished room, from places where a person could stand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dense3d.datasets.synthetic.ray_casting import RayCaster
from dense3d.datasets.synthetic.rooms.sampling import Surfaces
from dense3d.datasets.synthetic.rooms.scanning import standpoint
from dense3d.structures.camera import PinholeCamera

FIELD_OF_VIEW = math.radians(75)
AIM = 0.3  # cameras look at places so far from the middle, as a share of the room's sides
AIM_HEIGHT = (0.3, 1.0)  # metres
LEAST_AWAY = 1.0  # metres on the floor between a camera and what it looks at
SKY = 0.9  # grey above the walls, as rooms have no ceiling


@dataclass(frozen=True, eq=False)
class RoomView:
    """What one camera sees.

    Args:
        camera: the camera.
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 metres along the optical axis, ``inf`` above the walls.
    """

    camera: PinholeCamera
    rgb: np.ndarray
    depth: np.ndarray


def view_room(
    surfaces: Surfaces, rng: np.random.Generator, count: int, size: tuple[int, int]
) -> list[RoomView]:
    """Photographs of a room, in the frame of its cloud and with its colours.

    Args:
        surfaces: of the room.
        rng: draws the cameras.
        count: how many.
        size: width and height in pixels.
    """
    caster = RayCaster([(mesh.vertices.astype(np.float32), mesh.triangles) for mesh in surfaces.meshes])
    return [_seen(surfaces, caster, _camera(surfaces, rng, size)) for _ in range(count)]


def _camera(surfaces: Surfaces, rng: np.random.Generator, size: tuple[int, int]) -> PinholeCamera:
    place = standpoint(surfaces.room, rng)
    target = place
    while np.linalg.norm(target[:2] - place[:2]) < LEAST_AWAY:
        plan = rng.uniform(-AIM, AIM, 2) * surfaces.room.size[:2]
        target = np.array([*plan, rng.uniform(*AIM_HEIGHT)])
    return PinholeCamera.look_at(place, target, *size, fov=FIELD_OF_VIEW)


def _seen(surfaces: Surfaces, caster: RayCaster, camera: PinholeCamera) -> RoomView:
    directions = camera.directions(camera.pixel_grid().reshape(-1, 2)).astype(np.float32)
    hits = caster.cast(camera.position.astype(np.float32), directions)
    met = hits.index >= 0
    points = camera.position + np.where(met, hits.t, 0)[:, None] * directions
    pieces = hits.index[met].astype(np.int64)
    rgb = np.full(points.shape, SKY)
    rgb[met] = surfaces.paint.lit(points[met], hits.facet_normals[met], pieces, surfaces.owners[pieces])
    shape = (camera.height, camera.width)
    pixels = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    return RoomView(camera, pixels.reshape(*shape, 3), hits.t.reshape(shape))
