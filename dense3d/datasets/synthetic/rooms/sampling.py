"""From a furnished room to a coloured cloud with labels."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from dense3d.datasets.synthetic.objects.primitives import area_of
from dense3d.datasets.synthetic.objects.sampling import sample_parts
from dense3d.datasets.synthetic.rooms.classes import CLASSES, ON_WALLS
from dense3d.datasets.synthetic.rooms.furnishing import Room, furnish
from dense3d.datasets.synthetic.rooms.scanning import seen_by_scanner
from dense3d.structures.cloud_files.meshes import TriangleMesh

NOISE = (0.001, 0.006)  # metres, standard deviation along the normal
STUFF_INSTANCE = -1
SURPLUS = 1.4  # so many times the points are sampled, since doors cover walls
SCAN_SURPLUS = 3.0  # the same where a scanner does not see all of them
REACH = 0.1  # metres that a thing on a wall covers in front of its middle and behind it


@dataclass(frozen=True, eq=False)
class RoomCloud:
    """A room as points.

    Args:
        points: (N, 3) float32, metres, z up, floor at 0.
        colors: (N, 3) uint8.
        normals: (N, 3) float32, into the room.
        labels: (N,) int64, of ``CLASSES``.
        instances: (N,) int64, rows of ``boxes``, -1 for floor and walls.
        boxes: (K, 7) float64: centre, sizes along and across the heading and upwards, yaw; world frame of
            :class:`~dense3d.structures.Boxes3D`.
        box_labels: (K,) int64.
        area: square metres of the surfaces that the points are spread over.
    """

    points: np.ndarray
    colors: np.ndarray
    normals: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    boxes: np.ndarray
    box_labels: np.ndarray
    area: float


def make_room(rng: np.random.Generator, num_points: int = 40_000, scan: bool = False) -> RoomCloud:
    """The cloud of :func:`make_furnished_room`.

    Args:
        rng: draws everything.
        num_points: of the cloud.
        scan: see there.
    """
    return make_furnished_room(rng, num_points, scan)[0]


def make_furnished_room(
    rng: np.random.Generator, num_points: int = 40_000, scan: bool = False
) -> tuple[RoomCloud, Surfaces]:
    """A room of random size and furniture, its surfaces sampled evenly, and those surfaces.

    Colours are drawn for each thing, whatever its class, with the light of a lamp at the ceiling; so class is
    to be told by shape and place.

    Args:
        rng: draws everything.
        num_points: of the cloud.
        scan: leave out what a scanner does not see that stands at one to three places in the room. Boxes
            stay those of the whole things, and one that nobody sees is left out.
    """
    room = furnish(rng)
    meshes, owners = {}, []
    for index, item in enumerate(room.items):
        for mesh in item.meshes:
            meshes[len(owners)] = mesh
            owners.append(index)
    surplus = SCAN_SURPLUS if scan else SURPLUS
    points, normals, pieces = _sampled(meshes, rng, round(surplus * num_points))
    owner = np.array(owners)[pieces]
    is_shown = ~_covered(room, points, normals, owner)
    if scan:
        is_shown &= seen_by_scanner(room, list(meshes.values()), points, rng)
    shown = np.flatnonzero(is_shown)
    area = sum(area_of(mesh) for mesh in meshes.values()) * len(shown) / len(points)
    shown = np.resize(shown, num_points)  # so many are covered: some stand twice
    points, normals, pieces, owner = points[shown], normals[shown], pieces[shown], owner[shown]
    paint = _paint(room, int(pieces.max()) + 1, rng)
    noise = rng.normal(scale=0.02, size=points.shape)
    lit = paint.lit(points, normals, pieces, owner) + noise
    colors = np.rint(np.clip(lit, 0, 1) * 255).astype(np.uint8)
    points = points + normals * rng.normal(scale=rng.uniform(*NOISE), size=(len(points), 1))
    things = [index for index, item in enumerate(room.items) if item.box is not None]
    if scan:
        things = [index for index in things if (owner == index).any()]
    instance_of = np.full(len(room.items), STUFF_INSTANCE)
    instance_of[things] = np.arange(len(things))
    labels = np.array([item.label for item in room.items])
    cloud = RoomCloud(
        points.astype(np.float32),
        colors,
        normals.astype(np.float32),
        labels[owner].astype(np.int64),
        instance_of[owner].astype(np.int64),
        np.array([room.items[index].box for index in things]).reshape(-1, 7),
        labels[things].astype(np.int64),
        area,
    )
    return cloud, Surfaces(room, tuple(meshes.values()), np.array(owners), paint)


def _covered(room: Room, points: np.ndarray, normals: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(N,) bool: points of walls behind doors, windows and pictures, and of the backs of those."""
    covered = np.zeros(len(points), dtype=bool)
    is_wall = owner == next(i for i, item in enumerate(room.items) if CLASSES[item.label] == "wall")
    for index, item in enumerate(room.items):
        if CLASSES[item.label] not in ON_WALLS:
            continue
        x, y, z, length, _, height, yaw = item.box
        local = points - [x, y, z]
        along = local[:, 0] * np.cos(yaw) + local[:, 1] * np.sin(yaw)
        across = local[:, 1] * np.cos(yaw) - local[:, 0] * np.sin(yaw)
        inside = (np.abs(along) <= length / 2) & (np.abs(local[:, 2]) <= height / 2)
        covered |= is_wall & inside & (np.abs(across) < REACH)
        # Things on walls have the wall at their +y, see the placing of them.
        covered |= (owner == index) & (normals[:, 1] * np.cos(yaw) - normals[:, 0] * np.sin(yaw) > 0.9)
    return covered


def _sampled(meshes: dict, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of all pieces; :func:`sample_parts` numbers no more than 255 at once."""
    groups = [list(meshes)[start : start + 200] for start in range(0, len(meshes), 200)]
    areas = np.array([sum(area_of(meshes[piece]) for piece in group) for group in groups])
    shares = rng.multinomial(count, areas / areas.sum())
    found = []
    for group, share in zip(groups, shares):
        parts = {place: meshes[piece] for place, piece in enumerate(group)}
        points, normals, places = sample_parts(parts, rng, int(share))
        found.append((points, normals, np.array(group)[places]))
    points, normals, pieces = (np.concatenate(arrays) for arrays in zip(*found))
    order = rng.permutation(len(points))
    return points[order], normals[order], pieces[order]


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What is to be seen in a room.

    Args:
        room: things and walls.
        meshes: P pieces of them, in the room's frame.
        owners: (P,) the thing that each piece belongs to.
        paint: their colours.
    """

    room: Room
    meshes: tuple[TriangleMesh, ...]
    owners: np.ndarray
    paint: Paint


@dataclass(frozen=True, eq=False)
class Paint:
    """Colours of a room's surfaces.

    Args:
        base: (I, 3) of each thing, in 0..1.
        shade: (P, 1) factors of pieces; pieces after those have 1.
        lamp: (3,) its place.
    """

    base: np.ndarray
    shade: np.ndarray
    lamp: np.ndarray

    def lit(
        self, points: np.ndarray, normals: np.ndarray, pieces: np.ndarray, owner: np.ndarray
    ) -> np.ndarray:
        """(N, 3) colours of points (N, 3) on pieces (N,) of things (N,), lit by the lamp."""
        to_lamp = self.lamp - points
        to_lamp /= np.maximum(np.linalg.norm(to_lamp, axis=1, keepdims=True), 1e-6)
        light = 0.55 + 0.45 * np.abs((normals * to_lamp).sum(axis=1, keepdims=True))
        known = np.minimum(pieces, len(self.shade) - 1)
        return self.base[owner] * np.where((pieces < len(self.shade))[:, None], self.shade[known], 1) * light


def _paint(room: Room, pieces: int, rng: np.random.Generator) -> Paint:
    """One colour for each thing, a little another one for each of its pieces, and a lamp."""
    base = np.array(
        [colorsys.hsv_to_rgb(rng.random(), rng.beta(1.2, 2.5), rng.uniform(0.3, 1.0)) for _ in room.items]
    )
    shade = rng.uniform(0.8, 1.1, (pieces, 1))
    return Paint(base, shade, np.array([*rng.uniform(-0.3, 0.3, 2) * room.size[:2], 0.95 * room.size[2]]))
