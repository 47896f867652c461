"""Random rooms: a composition draws objects, light and cameras from a generator and nothing else.

A composition is ``f(rng, (width, height)) -> (scene, cameras)``; :mod:`.compositions` names them.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dense3d.datasets.synthetic import shapes
from dense3d.datasets.synthetic.classes import THING_CLASSES
from dense3d.datasets.synthetic.scene import Color, Light, Scene, SceneObject, Shape, Sky, Texture
from dense3d.structures.camera import PinholeCamera

Cameras = tuple[PinholeCamera, ...]
# Heading of a wall's outward normal (radians about z) and distance of its inner face from the origin.
Wall = tuple[float, float]
Composition = Callable[[np.random.Generator, tuple[int, int]], tuple[Scene, Cameras]]


@dataclass(frozen=True)
class Arrangement:
    """What stands in a room and how it is seen.

    Args:
        field_of_view: least and largest horizontal one in degrees.
        count_weights: probabilities of one thing, two things, and so on.
        feet: part of the image in which things stand on the floor: least and largest x and y in multiples of
            its width and height.
        apparent_size: least and largest diameter of a thing's bounding sphere in multiples of the image's
            height; its logarithm is drawn evenly.
        cluster_probability: how often there is also a heap of small things.
        pattern_weights: how often things have each kind of texture.
        upright: whether cylinders, cones and rings stand, so that the outline tells the class.
    """

    field_of_view: tuple[float, float]
    count_weights: tuple[float, ...]
    feet: tuple[tuple[float, float], tuple[float, float]]
    apparent_size: tuple[float, float]
    cluster_probability: float
    pattern_weights: dict[str, float]
    upright: bool = False


PATTERN_WEIGHTS = {"solid": 0.40, "noise": 0.20, "stripes": 0.15, "checker": 0.15, "dots": 0.10}
SPACIOUS = Arrangement(
    field_of_view=(45, 70),
    count_weights=(0.06, 0.19, 0.22, 0.20, 0.16, 0.11, 0.06),
    feet=((0.05, 0.95), (0.15, 1.0)),
    apparent_size=(0.24, 0.75),
    cluster_probability=0.08,
    pattern_weights=PATTERN_WEIGHTS,
)
CLOSE_UP = Arrangement(
    field_of_view=(32, 48),
    count_weights=(0.5, 0.35, 0.15),
    feet=((0.2, 0.8), (0.55, 0.95)),
    apparent_size=(0.8, 1.25),
    cluster_probability=0.0,
    # so that shading tells the shape of most
    pattern_weights={"solid": 0.75, "noise": 0.15, "stripes": 0.10},
    upright=True,
)
# Radius of the bounding sphere in metres.
RADIUS = (0.12, 1.4)
# How often a thing is placed in line with an earlier one, so that they overlap in the image.
COMPANY_PROBABILITY = 0.5
# Apparent diameter of a heap's member, as above.
CLUSTER_APPARENT_SIZE = 0.12
ROOM_SIZE = 60.0
WALL_THICKNESS = 0.2


def compose_room(
    rng: np.random.Generator, size: tuple[int, int], arrangement: Arrangement = SPACIOUS
) -> tuple[Scene, Cameras]:
    """Solids on a floor, up to three walls around them, sun and sky, one camera.

    Args:
        rng: source of all randomness.
        size: width and height of the image in pixels.
        arrangement: number and size of the solids; one to seven unless given.

    Returns:
        The scene and its one camera.
    """
    camera = _camera(rng, size, arrangement)
    walls = _walls(rng, camera)
    things = _things(rng, camera, walls, arrangement)
    if rng.random() < arrangement.cluster_probability:
        things += _cluster(rng, camera, walls, things, arrangement)
    stuff = _surroundings(rng, walls, first_id=len(things) + 1)
    scene = Scene(
        objects=tuple(things + stuff),
        light=_light(rng),
        sky=_sky(rng),
        noise=float(rng.uniform(0, 0.025)),
        noise_seed=int(rng.integers(2**32)),
    )
    return scene, (camera,)


def _camera(rng: np.random.Generator, size: tuple[int, int], arrangement: Arrangement) -> PinholeCamera:
    """A camera 3 to 6 m from the origin that looks down at it by 10 to 50 degrees, slightly rolled."""
    azimuth, elevation = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(10, 50))
    distance = rng.uniform(3, 6)
    position = distance * np.array(
        [
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
        ]
    )
    target = np.array([*rng.uniform(-0.3, 0.3, size=2), rng.uniform(0.1, 0.6)])
    return PinholeCamera.look_at(
        position,
        target,
        *size,
        fov=math.radians(rng.uniform(*arrangement.field_of_view)),
        roll=math.radians(rng.normal(0, 3)),
    )


def _walls(rng: np.random.Generator, camera: PinholeCamera) -> list[Wall]:
    """Up to three walls of a room that holds the camera."""
    heading = math.atan2(camera.position[1], camera.position[0]) + rng.uniform(-0.6, 0.6)
    reach = float(np.linalg.norm(camera.position[:2]))
    walls = []
    for turn in (0.0, math.pi / 2, -math.pi / 2):
        # A wall beside the camera stands farther out than it; the opposite one may be near.
        distance = rng.uniform(2.5, 7) if turn == 0 else reach + rng.uniform(0.5, 3)
        if rng.random() < 0.6:
            walls.append((heading + math.pi + turn, float(distance)))
    return walls


def _things(
    rng: np.random.Generator, camera: PinholeCamera, walls: list[Wall], arrangement: Arrangement
) -> list[SceneObject]:
    count = 1 + rng.choice(len(arrangement.count_weights), p=arrangement.count_weights)
    things: list[SceneObject] = []
    for _ in range(40 * count):
        if len(things) == count:
            break
        near = rng.choice(things) if things and rng.random() < COMPANY_PROBABILITY else None
        spot = _floor_spot(rng, camera, arrangement, near)
        if spot is None:
            continue
        foot, depth = spot
        apparent = math.exp(rng.uniform(*np.log(arrangement.apparent_size)))
        radius = float(np.clip(apparent * camera.height * depth / (2 * camera.intrinsics[1, 1]), *RADIUS))
        if _is_free(foot, radius, camera, walls, things):
            category = rng.choice(THING_CLASSES)
            things.append(_thing(rng, len(things) + 1, category, foot, radius, arrangement))
    return things


def _floor_spot(
    rng: np.random.Generator,
    camera: PinholeCamera,
    arrangement: Arrangement,
    near: SceneObject | None = None,
) -> tuple[np.ndarray, float] | None:
    """A point of the floor (z = 0) under a random pixel and its depth, or None above the horizon.

    With ``near`` the pixel lies just above or below that object's, so that one of the two hides the other.
    """
    pixel = rng.uniform(*np.transpose(arrangement.feet)) * (camera.width, camera.height)
    if near is not None:
        pixel = camera.project(near.center[None])[0][0] + rng.normal(0, (0.05, 0.15)) * camera.height
    direction = camera.directions(pixel)
    if direction[2] > -1e-3:
        return None
    depth = -camera.position[2] / direction[2]
    return (camera.position + depth * direction, float(depth)) if 1.0 < depth < 12.0 else None


def _is_free(
    foot: np.ndarray, radius: float, camera: PinholeCamera, walls: list[Wall], things: list[SceneObject]
) -> bool:
    """Whether a solid of this radius stands before the walls, outside others and away from the camera."""
    center = foot + np.array([0, 0, radius])
    if np.linalg.norm(center - camera.position) < 1.5 * radius + 0.5:
        return False
    if any(
        foot[0] * math.cos(heading) + foot[1] * math.sin(heading) + radius > distance
        for heading, distance in walls
    ):
        return False
    return all(
        np.linalg.norm(foot[:2] - other.center[:2]) > 0.9 * (radius + _bounding_radius(other.shape))
        for other in things
    )


def _bounding_radius(shape: Shape) -> float:
    return float(np.linalg.norm(shape.size)) / 2


def _thing(
    rng: np.random.Generator,
    instance_id: int,
    category: str,
    foot: np.ndarray,
    radius: float,
    arrangement: Arrangement,
    cluster: int = 0,
) -> SceneObject:
    """A solid of the given bounding radius that stands, lies or leans on the floor at ``foot``."""
    shape = _shape(rng, str(category), radius)
    rotation = _resting_rotation(rng, shape, arrangement.upright)
    vertices, _ = shapes.mesh(shape)
    lowest = float((vertices.astype(np.float64) * rotation[2]).sum(axis=1).min())
    center = np.array([foot[0], foot[1], -lowest])
    return SceneObject(
        instance_id=instance_id,
        category=str(category),
        shape=shape,
        center=center,
        rotation=rotation,
        texture=_texture(
            rng, radius * rng.uniform(0.4, 1.2), (0.2, 0.95), pattern_weights=arrangement.pattern_weights
        ),
        gloss=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
        cluster=cluster,
    )


def _shape(rng: np.random.Generator, kind: str, radius: float) -> Shape:
    """Random proportions of the class, scaled to the bounding radius."""
    if kind == "box":
        proportions = rng.uniform(0.5, 1.0, size=3)
    elif kind == "cylinder":
        proportions = np.array([1, 1, math.exp(rng.uniform(math.log(0.7), math.log(2.5)))])
    elif kind == "cone":
        proportions = np.array([1, 1, rng.uniform(0.9, 1.8)])
    elif kind == "torus":
        proportions = np.array([1, 1, rng.uniform(0.2, 0.33)])
    else:
        proportions = np.ones(3)
    # A sphere's bounding radius is its own, not that of its box's corners.
    diameter = 1.0 if kind == "sphere" else float(np.linalg.norm(proportions))
    width, depth, height = (float(value) for value in proportions * (2 * radius / diameter))
    return Shape(kind, (width, depth, height))


def _resting_rotation(rng: np.random.Generator, shape: Shape, upright: bool) -> np.ndarray:
    """Upright, on its side, or leaning (rings and crosses at any tilt); any heading."""
    if upright:
        tilt = math.pi / 2 if shape.kind == "torus" else 0.0
    elif shape.kind in ("torus", "cross"):
        tilt = rng.uniform(0, math.pi / 2)
    elif shape.kind == "cylinder":
        tilt = rng.choice([0.0, math.pi / 2])
    elif shape.kind == "cone":
        # On its side a cone rests along its slope.
        lying = math.pi / 2 + math.atan2(shape.size[0] / 2, shape.size[2])
        tilt = rng.choice([0.0, lying], p=[0.75, 0.25])
    else:
        tilt = 0.0
    spin, heading = rng.uniform(0, 2 * math.pi, size=2)
    return _rotation_z(heading) @ _rotation_x(float(tilt)) @ _rotation_z(spin)


def _cluster(
    rng: np.random.Generator,
    camera: PinholeCamera,
    walls: list[Wall],
    things: list[SceneObject],
    arrangement: Arrangement,
) -> list[SceneObject]:
    """A heap of small solids of one class, too small to tell apart: annotated as a crowd."""
    for _ in range(40):
        spot = _floor_spot(rng, camera, arrangement)
        if spot is None:
            continue
        foot, depth = spot
        radius = CLUSTER_APPARENT_SIZE * camera.height * depth / (2 * camera.intrinsics[1, 1])
        if not _is_free(foot, 3 * radius, camera, walls, things):
            continue
        category = rng.choice(THING_CLASSES)
        heap = []
        for _ in range(rng.integers(6, 13)):
            near = foot + np.array([*rng.normal(0, 1.2 * radius, size=2), 0.0])
            size = radius * rng.uniform(0.7, 1.2)
            number = len(things) + len(heap) + 1
            heap.append(_thing(rng, number, category, near, size, arrangement, cluster=1))
        return heap
    return []


def _surroundings(rng: np.random.Generator, walls: list[Wall], first_id: int) -> list[SceneObject]:
    """The ground and the walls as solids."""
    ground = Shape("box", (ROOM_SIZE, ROOM_SIZE, WALL_THICKNESS))
    stuff = [_stuff(rng, first_id, "ground", ground, np.array([0, 0, -WALL_THICKNESS / 2]), 0.0)]
    for heading, distance in walls:
        height = rng.uniform(1.5, 5)
        shape = Shape("box", (WALL_THICKNESS, ROOM_SIZE, height))
        outward = np.array([math.cos(heading), math.sin(heading), 0.0])
        center = (distance + WALL_THICKNESS / 2) * outward + np.array([0, 0, height / 2])
        stuff.append(_stuff(rng, first_id + len(stuff), "wall", shape, center, heading))
    return stuff


def _stuff(
    rng: np.random.Generator,
    instance_id: int,
    category: str,
    shape: Shape,
    center: np.ndarray,
    heading: float,
) -> SceneObject:
    scale, contrast = rng.uniform(0.4, 1.6), rng.uniform(0.1, 0.6)
    texture = _texture(rng, scale, saturation=(0.0, 0.5), brightness=(0.3, 0.8), contrast=contrast)
    return SceneObject(instance_id, category, shape, center, _rotation_z(heading), texture)


def _texture(
    rng: np.random.Generator,
    scale: float,
    saturation: tuple[float, float],
    brightness: tuple[float, float] = (0.3, 0.95),
    contrast: float = 1.0,
    pattern_weights: dict[str, float] = PATTERN_WEIGHTS,
) -> Texture:
    """A random pattern of two random colours; ``contrast`` pulls the second towards the first."""
    kind = rng.choice(list(pattern_weights), p=list(pattern_weights.values()))
    first, second = _color(rng, saturation, brightness), _color(rng, saturation, brightness)
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    return Texture(
        kind=str(kind),
        first=first,
        second=tuple(a + contrast * (b - a) for a, b in zip(first, second)),
        scale=float(scale),
        offset=tuple(float(value) for value in rng.uniform(0, 8, size=3)),
        direction=tuple(float(value) for value in direction),
    )


def _color(
    rng: np.random.Generator, saturation: tuple[float, float], brightness: tuple[float, float]
) -> Color:
    """Linear RGB of any hue."""
    hue, strength, value = rng.random(), rng.uniform(*saturation), rng.uniform(*brightness)
    return tuple(channel**2.2 for channel in colorsys.hsv_to_rgb(hue, strength, value))


def _light(rng: np.random.Generator) -> Light:
    azimuth, elevation = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(30, 75))
    direction = (
        math.cos(elevation) * math.cos(azimuth),
        math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
    )
    strength, warmth, fill = rng.uniform(0.7, 1.15), rng.uniform(-0.1, 0.1), rng.uniform(0.3, 0.55)
    sun = (strength * (1 + warmth), strength, strength * (1 - warmth))
    return Light(direction, sun, (fill * (1 - warmth), fill, fill * (1 + warmth)))


def _sky(rng: np.random.Generator) -> Sky:
    pale, blue = rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.9)
    return Sky(
        horizon=(pale, pale, min(1.0, pale + 0.1)),
        zenith=(0.3 * blue, 0.5 * blue, blue),
        cloudiness=float(rng.random()),
    )


def _rotation_z(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _rotation_x(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
