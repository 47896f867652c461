"""Streets and rooms as a stereo rig sees them: detail on most surfaces, none on some, things at all depths.

World frame: x forward, y left, z up; the left camera stands above the origin and looks along x, nearly level.
Nothing is nearer than the rig's largest disparity allows. Surfaces are matt, so that both cameras see the
same colour, and the scene has no sensor noise of its own: two sensors do not share theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dense3d.datasets.synthetic.composition import Cameras, _color, _light, _rotation_x, _rotation_z, _sky
from dense3d.datasets.synthetic.scene import Light, Scene, SceneObject, Shape, Texture
from dense3d.datasets.synthetic.street import compose_street
from dense3d.structures.camera import PinholeCamera
from dense3d.structures.rectified_rig import RectifiedRig

FOCAL = 0.75  # in multiples of the image's width
BASELINE = 0.54  # metres
LARGEST = 0.2  # disparity in multiples of the width
NEAREST = FOCAL * BASELINE / LARGEST  # metres: 2.025
MARGIN = 0.1  # metres behind that
ROOM_PROBABILITY = 0.5
# Repeated patterns mislead matching: some, as the world has them, but few.
PATTERN_WEIGHTS = {"fractal": 0.7, "noise": 0.1, "solid": 0.12, "stripes": 0.04, "checker": 0.04}
PATTERNED_PAINT = 0.5  # how often a road user's parts are not of one colour
Vector = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Placed:
    """A solid before it has an instance id."""

    kind: str
    size: Vector
    center: Vector
    texture: Texture
    category: str = "wall"
    rotation: np.ndarray | None = None


def rig_of(size: tuple[int, int]) -> RectifiedRig:
    """The rig of all pairs of one size (width, height).

    Example:
        >>> rig = rig_of((320, 160))
        >>> rig.focal, rig.baseline, round(rig.disparity(NEAREST), 6)
        (240.0, 0.54, 64.0)
    """
    width, height = size
    return RectifiedRig(FOCAL * width, BASELINE, (width - 1) / 2, (height - 1) / 2, width, height)


def compose_stereo(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Scene, Cameras]:
    """A street or a furnished room, and the two cameras of :func:`rig_of`, the left one first.

    Args:
        rng: source of all randomness.
        size: width and height of the images in pixels.
    """
    scene, left = (_room if rng.random() < ROOM_PROBABILITY else _street)(rng, size)
    return scene, (left, right_of(left))


def right_of(left: PinholeCamera) -> PinholeCamera:
    """The same camera, ``BASELINE`` metres to its right."""
    moved = np.array(left.camera_to_world)
    moved[:3, 3] += BASELINE * moved[:3, 0]
    return replace(left, camera_to_world=moved)


def _camera(
    rng: np.random.Generator, size: tuple[int, int], height: float, pitch: tuple[float, float]
) -> PinholeCamera:
    """A camera ``height`` metres above the origin, turned a little; ``pitch`` downwards, in degrees."""
    turn, tilt, roll = np.radians([rng.uniform(-6, 6), rng.uniform(*pitch), rng.uniform(-1.5, 1.5)])
    upright = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # from camera axes: x right, y down, z forward
    camera_to_world = np.eye(4)
    # In the camera's frame, tilting is a turn about x, rolling one about z.
    camera_to_world[:3, :3] = _rotation_z(turn) @ upright @ _rotation_x(-tilt) @ _rotation_z(roll)
    camera_to_world[2, 3] = height
    rig = rig_of(size)
    intrinsics = np.array([[rig.focal, 0, rig.cx], [0, rig.focal, rig.cy], [0, 0, 1]])
    return PinholeCamera(*size, intrinsics, camera_to_world)


def _street(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Scene, PinholeCamera]:
    """A street of :mod:`.street` with detailed ground, fronts and trees, and posts and boxes close by."""
    scene, _ = compose_street(rng, size)
    camera = _camera(rng, size, rng.uniform(1.5, 1.8), (2, 10))
    painted = [_repainted(rng, item) for item in scene.objects]
    close = [_close_by(rng) for _ in range(rng.integers(0, 4))]
    objects = (*painted, *_numbered(close, len(painted) + 1))
    return replace(scene, objects=objects, noise=0.0), camera


def _repainted(rng: np.random.Generator, item: SceneObject) -> SceneObject:
    """The same solid, matt, with a pattern of the size that its distance and extents call for."""
    if item.category in ("ground", "wall"):
        return replace(item, texture=paint(rng, _detail(item), saturation=(0.0, 0.5)), gloss=0.0)
    texture = item.texture
    if rng.random() < PATTERNED_PAINT:
        second = tuple(channel * rng.uniform(0.3, 0.8) for channel in texture.first)
        texture = replace(texture, kind="fractal", second=second, scale=float(rng.uniform(0.5, 1.2)))
    return replace(item, texture=texture, gloss=0.0)


def _detail(item: SceneObject) -> float:
    """Metres of one period: large on long surfaces, of which most is far away."""
    return float(np.clip(0.25 * np.median(item.shape.size), 0.6, 2.4))


def paint(
    rng: np.random.Generator,
    scale: float,
    saturation: tuple[float, float] = (0.0, 0.8),
    weights: dict[str, float] = PATTERN_WEIGHTS,
) -> Texture:
    """A random pattern of a dark and a bright colour; ``solid`` ones show no detail at all.

    Args:
        rng: source of all randomness.
        scale: length of one period in metres.
        saturation: least and largest of the colours.
        weights: how often each pattern is used.
    """
    kind = str(rng.choice(list(weights), p=list(weights.values())))
    first, second = _color(rng, saturation, (0.12, 0.42)), _color(rng, saturation, (0.5, 0.88))
    if rng.random() < 0.5:
        first, second = second, first
    direction = rng.normal(size=3)
    return Texture(
        kind=kind,
        first=first,
        second=second,
        scale=float(scale * rng.uniform(0.7, 1.4)),
        offset=tuple(float(value) for value in rng.uniform(0, 8, size=3)),
        direction=tuple(float(value) for value in direction / np.linalg.norm(direction)),
    )


def _close_by(rng: np.random.Generator) -> Placed:
    """A post or a box on the ground, nearer than any road user."""
    x = rng.uniform(NEAREST + 0.6, 5.0)
    y = rng.uniform(-0.62, 0.62) * x
    if rng.random() < 0.6:
        width, height = rng.uniform(0.06, 0.25), rng.uniform(0.9, 3.0)
        return Placed("cylinder", (width, width, height), (x, y, height / 2), paint(rng, 0.4))
    width, height = rng.uniform(0.3, 0.7), rng.uniform(0.5, 1.2)
    turn = _rotation_z(rng.uniform(0, math.pi))
    return Placed("box", (width, width, height), (x, y, height / 2), paint(rng, 0.5), rotation=turn)


def _room(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Scene, PinholeCamera]:
    """Walls around the rig, often a ceiling, and furniture that hides a part of both."""
    length, height = rng.uniform(5.0, 14.0), rng.uniform(2.5, 3.3)
    left, right = rng.uniform(2.4, 4.5), -rng.uniform(2.4, 4.5)
    covered = rng.random() < 0.7
    camera = _camera(rng, size, rng.uniform(1.3, 1.7), (-3, 6))
    placed = _shell(rng, length, (right, left), height, covered)
    for _ in range(rng.integers(5, 12)):
        piece = FURNITURE[rng.choice(len(FURNITURE))]
        placed += piece(rng, *_spot(rng, length, (right, left)), height)
    light = _lamp(rng) if covered else _light(rng)
    return Scene(tuple(_numbered(placed, 1)), light, _sky(rng)), camera


def _lamp(rng: np.random.Generator) -> Light:
    """Light from everywhere, as under a ceiling, which no sun passes."""
    warmth, strength = rng.uniform(-0.05, 0.15), rng.uniform(0.8, 1.1)
    return Light((0.0, 0.0, 1.0), (0, 0, 0), (strength * (1 + warmth), strength, strength * (1 - warmth)))


def _shell(
    rng: np.random.Generator, length: float, sides: tuple[float, float], height: float, covered: bool
) -> list[Placed]:
    """Floor, three walls, pictures on them, and a ceiling if ``covered``."""
    right, left = sides
    middle, width, thick = (left + right) / 2, left - right, 0.2
    span = (length + 6.0, width + 2 * thick, thick)
    back = (thick, width + 2 * thick, height)
    parts = [
        Placed("box", span, (length / 2, middle, -thick / 2), paint(rng, rng.uniform(0.8, 1.6)), "ground"),
        Placed("box", back, (length + thick / 2, middle, height / 2), paint(rng, rng.uniform(0.8, 2.0))),
    ]
    wall = paint(rng, rng.uniform(0.8, 2.0))
    for y, side in ((left, 1), (right, -1)):
        center = (length / 2, y + side * thick / 2, height / 2)
        parts.append(Placed("box", (length + 6.0, thick, height), center, wall))
        if rng.random() < 0.7:
            wide, high = rng.uniform(0.4, 1.5), rng.uniform(0.4, 1.2)
            at = (rng.uniform(3.0, length), y - side * 0.03, rng.uniform(1.0, 2.0))
            parts.append(Placed("box", (wide, 0.06, high), at, paint(rng, 0.5)))
    if covered:
        weights = {"fractal": 0.7, "solid": 0.3}
        ceiling = paint(rng, rng.uniform(1.0, 2.0), (0.0, 0.2), weights)
        parts.append(Placed("box", span, (length / 2, middle, height + thick / 2), ceiling))
    return parts


def _spot(rng: np.random.Generator, length: float, sides: tuple[float, float]) -> tuple[float, float]:
    """A place on the floor, near ones more often than an even spread would give, in sight of the rig."""
    x = NEAREST + 0.8 + (length - NEAREST - 1.2) * rng.random() ** 1.4
    y = float(np.clip(rng.uniform(-0.7, 0.7) * x, sides[0] + 0.4, sides[1] - 0.4))
    return float(x), y


def _block(rng: np.random.Generator, x: float, y: float, ceiling: float) -> list[Placed]:
    """A cupboard, a box, or several boxes on each other."""
    bottom, parts = 0.0, []
    for _ in range(rng.integers(1, 4)):
        width, depth, height = rng.uniform(0.3, 0.9, size=3)
        if bottom + height > ceiling:
            break
        turn = _rotation_z(rng.uniform(0, math.pi))
        center = (x, y, bottom + height / 2)
        parts.append(Placed("box", (width, depth, height), center, paint(rng, 0.6), "box", turn))
        bottom += height
    return parts


def _table(rng: np.random.Generator, x: float, y: float, ceiling: float) -> list[Placed]:
    """A top on four legs, between which one looks through, and a ball or box on it."""
    width, depth, height = rng.uniform(0.7, 1.2), rng.uniform(0.6, 0.9), rng.uniform(0.5, 0.9)
    turn = _rotation_z(rng.uniform(0, math.pi))
    top, leg = paint(rng, 0.5), paint(rng, 0.3)
    parts = [Placed("box", (width, depth, 0.05), (x, y, height), top, "box", turn)]
    for across in (-0.45, 0.45):
        for along in (-0.45, 0.45):
            offset = turn @ (across * width, along * depth, 0.0)
            center = (x + offset[0], y + offset[1], height / 2)
            parts.append(Placed("box", (0.06, 0.06, height), center, leg, "box", turn))
    size = rng.uniform(0.15, 0.4)
    kind = str(rng.choice(["sphere", "box", "cylinder", "cone"]))
    center = (x, y, height + 0.025 + size / 2)
    parts.append(Placed(kind, (size, size, size), center, paint(rng, 0.3), kind))
    return parts


def _column(rng: np.random.Generator, x: float, y: float, ceiling: float) -> list[Placed]:
    """A pole or a pillar up to the ceiling."""
    width = rng.uniform(0.06, 0.4)
    size, center = (width, width, ceiling), (x, y, ceiling / 2)
    return [Placed("cylinder", size, center, paint(rng, 0.6), "cylinder")]


def _ball(rng: np.random.Generator, x: float, y: float, ceiling: float) -> list[Placed]:
    """A ball on the floor or a lamp on a cord."""
    size = rng.uniform(0.25, 0.8)
    if rng.random() < 0.5:
        return [Placed("sphere", (size, size, size), (x, y, size / 2), paint(rng, 0.5), "sphere")]
    size, drop = 0.6 * size, rng.uniform(0.4, 1.4)
    cord = Placed("cylinder", (0.02, 0.02, drop), (x, y, ceiling - drop / 2), paint(rng, 0.3))
    center = (x, y, ceiling - drop)
    return [cord, Placed("sphere", (size, size, size), center, paint(rng, 0.4), "sphere")]


def _ring(rng: np.random.Generator, x: float, y: float, ceiling: float) -> list[Placed]:
    """A ring that stands, seen through in its middle."""
    size = rng.uniform(0.5, 1.2)
    turn = _rotation_z(rng.uniform(0, math.pi)) @ _rotation_x(math.pi / 2)
    center = (x, y, size / 2)
    return [Placed("torus", (size, size, 0.25 * size), center, paint(rng, 0.4), "torus", turn)]


def _screen(rng: np.random.Generator, x: float, y: float, ceiling: float) -> list[Placed]:
    """A thin upright panel, at any angle to the rig."""
    width, height = rng.uniform(0.5, 1.4), rng.uniform(0.8, 1.9)
    turn = _rotation_z(math.pi / 2 + rng.uniform(-1.0, 1.0))
    size, center = (width, 0.04, height), (x, y, height / 2)
    return [Placed("box", size, center, paint(rng, 0.6), "box", turn)]


Piece = Callable[[np.random.Generator, float, float, float], list[Placed]]
FURNITURE: tuple[Piece, ...] = (_block, _block, _table, _column, _ball, _ring, _screen)


def _numbered(placed: list[Placed], first_id: int) -> list[SceneObject]:
    return [
        SceneObject(
            instance_id=first_id + number,
            category=part.category,
            shape=Shape(part.kind, part.size),
            center=np.array(part.center, dtype=np.float64),
            rotation=np.eye(3) if part.rotation is None else part.rotation,
            texture=part.texture,
        )
        for number, part in enumerate(placed)
    ]
