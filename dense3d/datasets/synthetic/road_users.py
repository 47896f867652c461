"""Cars, pedestrians and cyclists of simple solids that fill their boxes in all three directions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dense3d.datasets.synthetic.composition import _color, _rotation_x, _rotation_z
from dense3d.datasets.synthetic.scene import Actor, Color, SceneObject, Shape, Texture

Size = tuple[float, float, float]
# mean and standard deviation of length, width, height in metres, as KITTI's labels have them
SIZES = {
    "Car": ((3.88, 0.42), (1.63, 0.10), (1.53, 0.13)),
    "Pedestrian": ((0.84, 0.18), (0.66, 0.11), (1.76, 0.11)),
    "Cyclist": ((1.76, 0.15), (0.60, 0.08), (1.74, 0.08)),
}
SPREAD = 2.0  # sizes are cut at so many standard deviations
BLACK: Color = (0.015, 0.015, 0.018)
GLASS: Color = (0.03, 0.04, 0.06)
HEADLIGHT: Color = (0.95, 0.9, 0.6)
TAILLIGHT: Color = (0.7, 0.02, 0.02)


@dataclass(frozen=True, eq=False)
class BodyPart:
    """One solid in the actor's frame: x along the heading, y left, z up from the ground under its centre."""

    kind: str
    size: Size
    center: Size
    color: Color
    gloss: float = 0.0
    rotation: np.ndarray | None = None


def make_actor(
    rng: np.random.Generator, name: str, foot: tuple[float, float], yaw: float, first_id: int
) -> tuple[Actor, list[SceneObject]]:
    """An object of a class on the ground.

    Args:
        rng: draws its size and colours.
        name: key of :data:`SIZES`.
        foot: (x, y) of its centre in the world, metres.
        yaw: heading, radians from x towards y.
        first_id: instance id of its first solid; the others follow.
    """
    length, width, height = (
        float(mean + deviation * np.clip(rng.standard_normal(), -SPREAD, SPREAD))
        for mean, deviation in SIZES[name]
    )
    solids = [
        _placed(part, first_id + index, foot, yaw)
        for index, part in enumerate(BUILDERS[name](rng, length, width, height))
    ]
    center = np.array([*foot, height / 2])
    members = tuple(solid.instance_id for solid in solids)
    return Actor(name, center, (length, width, height), yaw, members), solids


def _placed(part: BodyPart, instance_id: int, foot: tuple[float, float], yaw: float) -> SceneObject:
    turn = _rotation_z(yaw)
    center = turn @ np.array(part.center) + np.array([*foot, 0.0])
    rotation = turn if part.rotation is None else turn @ part.rotation
    texture = Texture("solid", part.color, part.color)
    return SceneObject(
        instance_id, part.kind, Shape(part.kind, part.size), center, rotation, texture, part.gloss
    )


def _wheel(diameter: float, thickness: float, x: float, y: float, color: Color = BLACK) -> BodyPart:
    """A disc that stands on the ground, its axis across the heading."""
    center = (x, y, diameter / 2)
    size = (diameter, diameter, thickness)
    return BodyPart("cylinder", size, center, color, rotation=_rotation_x(math.pi / 2))


def _car(rng: np.random.Generator, length: float, width: float, height: float) -> list[BodyPart]:
    paint = _color(rng, (0.0, 0.9), (0.15, 0.95))
    parts = [
        BodyPart("box", (0.98 * length, 0.97 * width, 0.44 * height), (0, 0, 0.4 * height), paint, 0.35),
        BodyPart(
            "box", (0.52 * length, 0.84 * width, 0.4 * height), (-0.06 * length, 0, 0.8 * height), paint, 0.35
        ),
        BodyPart(
            "box", (0.54 * length, 0.86 * width, 0.2 * height), (-0.06 * length, 0, 0.79 * height), GLASS, 0.6
        ),
    ]
    for end, color in ((1, HEADLIGHT), (-1, TAILLIGHT)):
        for side in (1, -1):
            center = (end * 0.49 * length, side * 0.38 * width, 0.5 * height)
            parts.append(BodyPart("box", (0.02 * length, 0.2 * width, 0.1 * height), center, color))
            parts.append(_wheel(0.42 * height, 0.14 * width, end * 0.31 * length, side * 0.43 * width))
    return parts


def _pedestrian(rng: np.random.Generator, length: float, width: float, height: float) -> list[BodyPart]:
    shirt, trousers = (_color(rng, (0.1, 0.9), (0.1, 0.9)) for _ in range(2))
    skin = _color(rng, (0.3, 0.5), (0.4, 0.9))
    head = 0.14 * height
    parts = [
        BodyPart("sphere", (head, head, head), (0, 0, height - head / 2), skin),
        BodyPart("box", (0.3 * length, 0.6 * width, 0.36 * height), (0, 0, 0.68 * height), shirt),
    ]
    for side in (1, -1):
        arm = (-side * 0.12 * length, side * 0.4 * width, 0.66 * height)
        leg = (side * 0.18 * length, side * 0.16 * width, 0.26 * height)
        shoe = (side * 0.34 * length, side * 0.16 * width, 0.03 * height)
        parts.append(BodyPart("box", (0.2 * length, 0.2 * width, 0.36 * height), arm, shirt))
        parts.append(BodyPart("box", (0.26 * length, 0.24 * width, 0.52 * height), leg, trousers))
        parts.append(BodyPart("box", (0.32 * length, 0.22 * width, 0.06 * height), shoe, BLACK))
    return parts


def _cyclist(rng: np.random.Generator, length: float, width: float, height: float) -> list[BodyPart]:
    shirt, trousers, frame = (_color(rng, (0.1, 0.9), (0.1, 0.9)) for _ in range(3))
    skin = _color(rng, (0.3, 0.5), (0.4, 0.9))
    wheel, head = 0.38 * height, 0.15 * height
    reach = length / 2 - wheel / 2
    trunk = (-0.05 * length, 0, 0.68 * height)
    parts = [
        _wheel(wheel, 0.08 * width, reach, 0),
        _wheel(wheel, 0.08 * width, -reach, 0),
        BodyPart("box", (2 * reach, 0.1 * width, 0.05 * height), (0, 0, 0.3 * height), frame),
        BodyPart("box", (0.05 * length, width, 0.04 * height), (0.28 * length, 0, 0.56 * height), frame),
        BodyPart("box", (0.24 * length, 0.6 * width, 0.36 * height), trunk, shirt),
        BodyPart("sphere", (head, head, head), (0, 0, height - head / 2), skin),
    ]
    for side in (1, -1):
        leg = (0.03 * length, side * 0.2 * width, 0.34 * height)
        parts.append(BodyPart("box", (0.14 * length, 0.18 * width, 0.34 * height), leg, trousers))
    return parts


BUILDERS: dict[str, Callable[[np.random.Generator, float, float, float], list[BodyPart]]] = {
    "Car": _car,
    "Pedestrian": _pedestrian,
    "Cyclist": _cyclist,
}
