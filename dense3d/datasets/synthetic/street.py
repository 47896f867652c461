"""Streets as KITTI's camera sees them: road users on lanes and pavements, houses, trees.

World frame: x forward along the road, y left, z up from the road; the camera stands at x = y = 0 and looks
along x, level, as KITTI's car does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from shapely import Polygon, box
from shapely.affinity import rotate, translate

from dense3d.datasets.synthetic.composition import Cameras, _color, _light, _rotation_z, _sky, _stuff
from dense3d.datasets.synthetic.road_users import SIZES, make_actor
from dense3d.datasets.synthetic.scene import Actor, Scene, SceneObject, Shape, Texture
from dense3d.structures.camera import PinholeCamera

# of KITTI's left colour camera, over the image's width or height
FOCAL, CENTER = 721.54 / 1242, (609.56 / 1242, 172.85 / 375)
CAMERA_HEIGHT = 1.65  # metres
KITTI_WIDTH = 1242
NEAREST, FARTHEST = 5.0, 60.0  # metres; the farthest in an image of KITTI's width, see _farthest
PAVEMENT_HEIGHT = 0.004  # seen as another surface, too low to lift anybody
CLEARANCE = 0.4  # metres between road users
REACH = 90.0  # metres that the street goes on
ATTEMPTS = 20


@dataclass(frozen=True)
class Lane:
    """Where objects of a class are and which way they face; lateral positions to the left are positive."""

    name: str
    weight: float
    lateral: tuple[float, float]
    heading: float
    spread: float  # standard deviation of the heading in radians


LANES = (
    Lane("Car", 0.17, (-1.0, 0.6), 0.0, 0.04),
    Lane("Car", 0.17, (2.6, 3.8), math.pi, 0.04),
    Lane("Car", 0.15, (5.6, 6.2), math.pi, 0.03),
    Lane("Car", 0.15, (-4.6, -4.0), 0.0, 0.03),
    Lane("Car", 0.06, (-4.0, 6.0), math.pi / 2, 0.3),
    Lane("Pedestrian", 0.07, (7.2, 9.5), 0.0, math.pi),
    Lane("Pedestrian", 0.07, (-8.0, -5.8), 0.0, math.pi),
    Lane("Pedestrian", 0.04, (-4.0, 6.0), math.pi / 2, 0.3),
    Lane("Cyclist", 0.06, (-3.0, -2.2), 0.0, 0.08),
    Lane("Cyclist", 0.06, (4.2, 5.0), math.pi, 0.08),
)
ROAD = (-5.0, 6.8)  # its right and left border
FRONTS = (-9.0, 11.0)  # houses begin there


def compose_street(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Scene, Cameras]:
    """Three to twelve road users on a street, one camera.

    They stand up to 60 m away in images of KITTI's width and less far in smaller ones, down to 24 m, so that
    they have as many pixels as there: KITTI neither counts nor teaches objects less than 25 pixels high.

    Args:
        rng: source of all randomness.
        size: width and height of the image in pixels; KITTI's is 1242 x 375.

    Returns:
        The scene, whose actors are the road users, and its one camera.
    """
    camera = _camera(rng, size)
    actors, solids = _road_users(rng, _farthest(size[0]))
    stuff = _ground(rng, len(solids) + 1)
    stuff += _houses(rng, len(solids) + len(stuff) + 1)
    stuff += _trees(rng, len(solids) + len(stuff) + 1)
    scene = Scene(
        objects=tuple(solids + stuff),
        light=_light(rng),
        sky=_sky(rng),
        noise=float(rng.uniform(0, 0.02)),
        noise_seed=int(rng.integers(2**32)),
        actors=tuple(actors),
    )
    return scene, (camera,)


def _camera(rng: np.random.Generator, size: tuple[int, int]) -> PinholeCamera:
    """KITTI's rig; focal length and height differ a little from drive to drive."""
    width, height = size
    focal = FOCAL * width * rng.uniform(0.98, 1.0)
    intrinsics = np.array([[focal, 0, CENTER[0] * width], [0, focal, CENTER[1] * height], [0, 0, 1]])
    camera_to_world = np.eye(4)
    camera_to_world[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    camera_to_world[2, 3] = CAMERA_HEIGHT + rng.uniform(-0.05, 0.05)
    return PinholeCamera(width, height, intrinsics, camera_to_world)


def _farthest(width: int) -> float:
    """Where a road user has the pixels that it has at 60 m in KITTI; at least 24 m."""
    return FARTHEST * float(np.clip(width / KITTI_WIDTH, 0.4, 1.0))


def _road_users(rng: np.random.Generator, farthest: float) -> tuple[list[Actor], list[SceneObject]]:
    """Road users that do not touch each other, and their solids with instance ids from 1."""
    actors: list[Actor] = []
    solids: list[SceneObject] = []
    taken: list[Polygon] = []
    weights = np.array([lane.weight for lane in LANES])
    for _ in range(rng.integers(3, 13)):
        lane = LANES[rng.choice(len(LANES), p=weights / weights.sum())]
        for _ in range(ATTEMPTS):
            foot = _foot(rng, lane, farthest)
            yaw = lane.heading + lane.spread * float(np.clip(rng.standard_normal(), -2, 2))
            place = _footprint(foot, yaw, lane.name)
            if not any(place.intersects(other) for other in taken):
                actor, parts = make_actor(rng, lane.name, foot, yaw, len(solids) + 1)
                actors.append(actor)
                solids += parts
                taken.append(place)
                break
    return actors, solids


def _foot(rng: np.random.Generator, lane: Lane, farthest: float) -> tuple[float, float]:
    """A place on a lane, near ones more often than an even spread over the road would give."""
    distance = NEAREST + (farthest - NEAREST) * rng.random() ** 1.5
    return float(distance), float(rng.uniform(*lane.lateral))


def _footprint(foot: tuple[float, float], yaw: float, name: str) -> Polygon:
    """The largest footprint of the class with a margin."""
    length, width = (mean + 2 * deviation + CLEARANCE for mean, deviation in SIZES[name][:2])
    plan = box(-length / 2, -width / 2, length / 2, width / 2)
    return translate(rotate(plan, yaw, origin=(0, 0), use_radians=True), *foot)


def _ground(rng: np.random.Generator, first_id: int) -> list[SceneObject]:
    """The road and a pavement on either side."""
    slabs = [(ROAD, 0.0), ((ROAD[1], 60.0), PAVEMENT_HEIGHT), ((-60.0, ROAD[0]), PAVEMENT_HEIGHT)]
    ground = []
    for number, ((right, left), top) in enumerate(slabs):
        shape = Shape("box", (2 * REACH, left - right, 0.5))
        center = np.array([REACH / 2, (left + right) / 2, top - 0.25])
        solid = SceneObject(first_id + number, "ground", shape, center, np.eye(3), _paving(rng))
        ground.append(solid)
    return ground


def _paving(rng: np.random.Generator) -> Texture:
    """Asphalt or slabs: nearly grey, uneven or tiled."""
    first = _color(rng, (0.0, 0.15), (0.3, 0.7))
    second = tuple(channel * rng.uniform(0.6, 0.95) for channel in first)
    kind = rng.choice(["noise", "checker"], p=[0.7, 0.3])
    return Texture(str(kind), first, second, float(rng.uniform(0.8, 2.5)))


def _houses(rng: np.random.Generator, first_id: int) -> list[SceneObject]:
    """Fronts of houses on either side, with gaps, and one that closes the street."""
    houses: list[SceneObject] = []
    for side, front in ((-1, FRONTS[0]), (1, FRONTS[1])):
        x = -10.0
        while x < REACH:
            length, depth, height = rng.uniform(6, 18), rng.uniform(5, 9), rng.uniform(3, 11)
            if rng.random() < 0.8:
                y = front + side * (depth / 2 + rng.uniform(0, 3))
                center = np.array([x + length / 2, y, height / 2])
                shape = Shape("box", (length, depth, height))
                houses.append(_stuff(rng, first_id + len(houses), "wall", shape, center, 0.0))
            x += length + rng.uniform(0, 5)
    if rng.random() < 0.5:
        height = rng.uniform(4, 14)
        shape, center = Shape("box", (4.0, 60.0, height)), np.array([REACH, 0.0, height / 2])
        houses.append(_stuff(rng, first_id + len(houses), "wall", shape, center, 0.0))
    return houses


def _trees(rng: np.random.Generator, first_id: int) -> list[SceneObject]:
    """Trunks with crowns on the pavements; they hide what is behind them."""
    trees: list[SceneObject] = []
    for _ in range(rng.integers(0, 6)):
        x, y = rng.uniform(6, 50), rng.choice([rng.uniform(6.9, 7.4), rng.uniform(-5.7, -5.2)])
        height, width = rng.uniform(2.2, 3.5), rng.uniform(0.2, 0.45)
        crown = rng.uniform(1.5, 3.0)
        bark, leaves = _color(rng, (0.3, 0.6), (0.15, 0.4)), (0.03, float(rng.uniform(0.1, 0.3)), 0.02)
        for kind, extents, z, color in (
            ("cylinder", (width, width, height), height / 2, bark),
            ("sphere", (crown, crown, crown), height + 0.35 * crown, leaves),
        ):
            texture = Texture("noise", color, tuple(0.5 * c for c in color), scale=0.6)
            center, turn = np.array([x, y, z]), _rotation_z(rng.uniform(0, 2 * math.pi))
            shape = Shape(kind, extents)
            trees.append(SceneObject(first_id + len(trees), "wall", shape, center, turn, texture))
    return trees
