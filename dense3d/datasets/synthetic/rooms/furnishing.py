"""What stands where in a room: things along the walls, in the middle, on the walls and on tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from shapely import Polygon
from shapely.affinity import rotate, translate

from dense3d.datasets.synthetic.objects.families import build_parts
from dense3d.datasets.synthetic.objects.primitives import box, joined, moved
from dense3d.datasets.synthetic.rooms.classes import CLASSES
from dense3d.structures.cloud_files.meshes import TriangleMesh

TRIES = 30
GAP = 0.02  # metres between things, and to the wall
AGAINST_WALLS = ("sofa", "bed", "shelf", "cabinet", "bathtub")
ANYWHERE = ("table", "chair", "lamp")


@dataclass(frozen=True, eq=False)
class Item:
    """One thing, or a surface of the room.

    Args:
        label: of ``CLASSES``.
        meshes: its parts, in the room's frame.
        box: (7,) centre, sizes along and across the heading and upwards, yaw; None of floor and walls.
    """

    label: int
    meshes: tuple[TriangleMesh, ...]
    box: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Room:
    """A room with its middle at the origin of x and y, and its floor at z = 0.

    Args:
        size: length, width and height in metres.
        items: floor, walls and things.
    """

    size: tuple[float, float, float]
    items: list[Item] = field(default_factory=list)


def furnish(rng: np.random.Generator) -> Room:
    """A room of random size with random furniture, none of which stands in another.

    Args:
        rng: draws everything.
    """
    size = (rng.uniform(3.0, 7.0), rng.uniform(2.8, 5.5), rng.uniform(2.3, 3.0))
    room = Room(size, _shell(size))
    taken: list[Polygon] = []
    for _ in range(int(rng.integers(1, 3))):
        _on_wall(room, "door", (rng.uniform(0.75, 1.0), 0.05, rng.uniform(1.95, 2.15)), 0, rng)
    for _ in range(int(rng.integers(0, 3))):
        _on_wall(
            room, "window", (rng.uniform(0.6, 1.8), 0.04, rng.uniform(0.7, 1.2)), rng.uniform(0.8, 1.0), rng
        )
    for _ in range(int(rng.integers(0, 4))):
        high = rng.uniform(1.2, 1.5)
        _on_wall(room, "picture", (rng.uniform(0.3, 1.0), 0.03, rng.uniform(0.3, 0.7)), high, rng)
    for name in rng.choice(AGAINST_WALLS, int(rng.integers(2, 6))):
        _place(room, str(name), taken, rng, lambda half: _along_wall(size, half, rng))
    for name in rng.choice(ANYWHERE, int(rng.integers(2, 7))):
        item = _place(room, str(name), taken, rng, lambda half: _in_the_middle(size, rng))
        if item is not None and name == "table":
            _around_table(room, item, taken, rng)
    return room


def _shell(size: tuple[float, float, float]) -> list[Item]:
    """Floor and walls as single surfaces whose normals point into the room."""
    length, width, height = size
    floor = _plane(length, width)
    walls = []
    for turn, across, away in (
        (0, length, width),
        (1, width, length),
        (2, length, width),
        (3, width, length),
    ):
        upright = moved(_plane(across, height), turn=(np.pi / 2, 0, 0), offset=(0, away / 2, height / 2))
        walls.append(moved(upright, turn=(0, 0, turn * np.pi / 2)))
    return [Item(CLASSES.index("floor"), (floor,)), Item(CLASSES.index("wall"), tuple(walls))]


def _plane(width: float, depth: float) -> TriangleMesh:
    corners = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) * (width / 2, depth / 2, 0)
    return TriangleMesh(corners, np.array([(0, 1, 2), (0, 2, 3)]))


def _meshes(name: str, rng: np.random.Generator) -> tuple[TriangleMesh, ...]:
    if name == "cabinet":
        size = (rng.uniform(0.4, 1.6), rng.uniform(0.35, 0.65), rng.uniform(0.5, 2.1))
        handle = box((0.02, 0.03, 0.15), (0.05, size[1] / 2 + 0.015, 0.6 * size[2]))
        return (box(size, (0, 0, size[2] / 2)), handle)
    return tuple(build_parts(name, rng).values())


def _item(name: str, meshes: tuple[TriangleMesh, ...], place: np.ndarray, yaw: float) -> Item:
    """Meshes about their own origin, turned by ``yaw`` and put at ``place``, with their oriented box."""
    whole = joined(meshes).vertices
    low, high = whole.min(axis=0), whole.max(axis=0)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    center = turn @ ((low + high) / 2) + place
    put = tuple(moved(mesh, turn=(0, 0, yaw), offset=place) for mesh in meshes)
    return Item(CLASSES.index(name), put, np.array([*center, *(high - low), yaw]))


def _place(
    room: Room,
    name: str,
    taken: list[Polygon],
    rng: np.random.Generator,
    propose: Callable[[np.ndarray], tuple[np.ndarray, float]],
) -> Item | None:
    """Put a thing where it stands free, or give up after some tries."""
    meshes = _meshes(name, rng)
    whole = joined(meshes).vertices
    middle = (whole.min(axis=0) + whole.max(axis=0)) / 2
    meshes = tuple(moved(mesh, offset=(-middle[0], -middle[1], -whole[:, 2].min())) for mesh in meshes)
    half = (whole.max(axis=0) - whole.min(axis=0))[:2] / 2
    if whole[:, 2].max() - whole[:, 2].min() > room.size[2] - 0.05:
        return None
    inside = _footprint(np.array(room.size[:2]) / 2, (0, 0), 0)
    for _ in range(TRIES):
        place, yaw = propose(half)
        ground = _footprint(half + GAP / 2, place, yaw)
        if inside.contains(ground) and not any(ground.intersects(other) for other in taken):
            taken.append(ground)
            item = _item(name, meshes, np.array([*place, 0.0]), yaw)
            room.items.append(item)
            return item
    return None


def _along_wall(
    size: tuple[float, float, float], half: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """A place with its back, at -y, close to one of the walls, nearly parallel to it."""
    turn, lean = int(rng.integers(4)), rng.normal(scale=0.03)
    across, away = (size[0], size[1]) if turn % 2 == 0 else (size[1], size[0])
    reach = half[1] * np.cos(lean) + half[0] * abs(np.sin(lean)) + GAP + rng.exponential(0.05)
    local = np.array([rng.uniform(-1, 1) * max(across / 2 - half[0] - GAP, 0), -away / 2 + reach])
    yaw = turn * np.pi / 2
    rotation = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    return rotation @ local, _wrapped(yaw + lean)


def _in_the_middle(size: tuple[float, float, float], rng: np.random.Generator) -> tuple[np.ndarray, float]:
    return rng.uniform(-0.5, 0.5, 2) * size[:2], float(rng.uniform(-np.pi, np.pi))


def _around_table(room: Room, table: Item, taken: list[Polygon], rng: np.random.Generator) -> None:
    """Chairs that face a table, and a monitor on it."""
    x, y, z, length, width, height, yaw = table.box
    for side in range(4):
        if rng.random() < 0.5:
            angle = yaw + side * np.pi / 2
            reach = (width if side % 2 == 0 else length) / 2
            _place(room, "chair", taken, rng, _at_table((x, y), angle, reach, rng))
    if min(length, width) > 0.6 and rng.random() < 0.4:
        meshes = _meshes("monitor", rng)
        top = np.array([x, y, z + height / 2 + 0.001])
        room.items.append(_item("monitor", meshes, top, _wrapped(yaw + rng.normal(scale=0.2))))


def _at_table(
    middle: tuple[float, float], angle: float, reach: float, rng: np.random.Generator
) -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
    """Places for a chair at the side of a table that its back, at -y, is turned away from."""
    out = np.array([np.sin(angle), -np.cos(angle)])

    def propose(half: np.ndarray) -> tuple[np.ndarray, float]:
        away = reach + half[1] + rng.uniform(0.03, 0.3)
        return np.array(middle) + out * away, _wrapped(angle + rng.normal(scale=0.1))

    return propose


def _on_wall(
    room: Room, name: str, size: tuple[float, float, float], height: float, rng: np.random.Generator
) -> None:
    """A thin box flat on a wall, in front of it by half its thickness, clear of others on that wall."""
    turn = int(rng.integers(4))
    across, away = room.size[:2] if turn % 2 == 0 else room.size[1::-1]
    top = min(height + size[2], room.size[2] - 0.02)
    mesh = box((size[0], size[1], top - height), (0, 0, (top + height) / 2))
    for _ in range(TRIES):
        local = np.array([rng.uniform(-0.5, 0.5) * (across - size[0]), away / 2 - size[1] / 2])
        yaw = turn * np.pi / 2
        place = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]) @ local
        item = _item(name, (mesh,), np.array([*place, 0.0]), _wrapped(yaw))
        others = [one.box for one in room.items if one.label in (2, 3, 4)]
        if all(_apart(item.box, other) for other in others):
            room.items.append(item)
            return


def _apart(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two thin boxes on walls keep clear of one another."""
    flat = np.linalg.norm(one[:2] - other[:2]) > (one[3] + other[3]) / 2 + 0.05
    return bool(flat or abs(one[2] - other[2]) > (one[5] + other[5]) / 2 + 0.05)


def _footprint(half: np.ndarray, place: np.ndarray | tuple, yaw: float) -> Polygon:
    x, y = half
    turned = rotate(Polygon([(-x, -y), (x, -y), (x, y), (-x, y)]), yaw, origin=(0, 0), use_radians=True)
    return translate(turned, *place)


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
