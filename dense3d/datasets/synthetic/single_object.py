"""One solid in a room, of one of ten classes: what classifiers of images learn from.

A class is a form, never a colour: six kinds of solids, of which four also occur flat or long.
"""

from __future__ import annotations

import math

import numpy as np

from dense3d.datasets.synthetic import shapes
from dense3d.datasets.synthetic.composition import (
    PATTERN_WEIGHTS,
    Arrangement,
    Cameras,
    _camera,
    _floor_spot,
    _is_free,
    _light,
    _resting_rotation,
    _sky,
    _surroundings,
    _texture,
    _walls,
)
from dense3d.datasets.synthetic.scene import Actor, Scene, SceneObject, Shape

# class -> kind of solid, least and largest extents (x, y, z) before they are scaled to one size
OBJECTS: dict[str, tuple[str, tuple[float, float, float], tuple[float, float, float]]] = {
    "beam": ("box", (0.2, 0.2, 1.0), (0.3, 0.3, 1.0)),
    "cone": ("cone", (1.0, 1.0, 0.9), (1.0, 1.0, 1.8)),
    "cross": ("cross", (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "cube": ("box", (0.8, 0.8, 0.8), (1.0, 1.0, 1.0)),
    "cylinder": ("cylinder", (1.0, 1.0, 1.0), (1.0, 1.0, 1.8)),
    "disc": ("cylinder", (1.0, 1.0, 0.15), (1.0, 1.0, 0.25)),
    "egg": ("sphere", (0.5, 0.5, 1.0), (0.6, 0.6, 1.0)),
    "slab": ("box", (0.8, 0.8, 0.15), (1.0, 1.0, 0.25)),
    "sphere": ("sphere", (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "torus": ("torus", (1.0, 1.0, 0.2), (1.0, 1.0, 0.33)),
}
ALONE = Arrangement(
    field_of_view=(32, 48),
    count_weights=(1.0,),
    feet=((0.35, 0.65), (0.6, 0.85)),
    apparent_size=(0.7, 1.1),
    cluster_probability=0.0,
    pattern_weights=PATTERN_WEIGHTS,
)
RADIUS = (0.12, 1.4)  # metres, of the bounding sphere
TRIES = 200


def compose_object(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Scene, Cameras]:
    """One solid near the middle of the image; the scene's one actor has the name of its class.

    Args:
        rng: source of all randomness.
        size: width and height of the image in pixels.
    """
    name = str(rng.choice(sorted(OBJECTS)))
    while True:
        camera = _camera(rng, size, ALONE)
        walls = _walls(rng, camera)
        place = _place(rng, camera, walls)
        if place is not None:
            break
    thing = _object(rng, name, *place)
    actor = Actor(name, thing.center, thing.shape.size, 0.0, (thing.instance_id,))
    scene = Scene(
        objects=(thing, *_surroundings(rng, walls, first_id=2)),
        light=_light(rng),
        sky=_sky(rng),
        noise=float(rng.uniform(0, 0.025)),
        noise_seed=int(rng.integers(2**32)),
        actors=(actor,),
    )
    return scene, (camera,)


def _place(rng: np.random.Generator, camera, walls: list) -> tuple[np.ndarray, float] | None:
    """Where on the floor the solid stands, and its radius; None where this room has no such place."""
    for _ in range(TRIES):
        spot = _floor_spot(rng, camera, ALONE)
        if spot is None:
            continue
        foot, depth = spot
        apparent = math.exp(rng.uniform(*np.log(ALONE.apparent_size)))
        radius = float(np.clip(apparent * camera.height * depth / (2 * camera.intrinsics[1, 1]), *RADIUS))
        if _is_free(foot, radius, camera, walls, []):
            return foot, radius
    return None


def _object(rng: np.random.Generator, name: str, foot: np.ndarray, radius: float) -> SceneObject:
    """The solid with random extents of its class, at rest on the floor in any pose that it has."""
    kind, least, largest = OBJECTS[name]
    extents = rng.uniform(least, largest)
    extents = extents * (2 * radius / np.linalg.norm(extents)) * (1.3 if kind == "sphere" else 1.0)
    shape = Shape(kind, tuple(float(value) for value in extents))
    lying = name in ("beam", "disc", "egg", "slab") and rng.random() < 0.5
    rotation = _turned(rng) if lying else _resting_rotation(rng, shape, upright=False)
    vertices, _ = shapes.mesh(shape)
    lowest = float((vertices.astype(np.float64) * rotation[2]).sum(axis=1).min())
    texture = _texture(
        rng, radius * rng.uniform(0.4, 1.2), (0.2, 0.95), pattern_weights=ALONE.pattern_weights
    )
    return SceneObject(
        instance_id=1,
        category=kind,
        shape=shape,
        center=np.array([foot[0], foot[1], -lowest]),
        rotation=rotation,
        texture=texture,
        gloss=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
    )


def _turned(rng: np.random.Generator) -> np.ndarray:
    """On its side, with any heading: the local z axis along the floor."""
    c, s = math.cos(heading := rng.uniform(0, 2 * math.pi)), math.sin(heading)
    return np.array([[c, 0.0, -s], [s, 0.0, c], [0.0, -1.0, 0.0]])
