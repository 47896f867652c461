"""What a synthetic scene is: solids with class, size, pose and texture, a sun, a sky; plain data.

The world frame has z up; lengths are metres, colours linear RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Texture:
    """A procedural albedo in the object's own frame.

    Args:
        kind: a key of :data:`dense3d.datasets.synthetic.textures.PATTERNS`.
        first, second: the two colours that the pattern mixes (``solid`` shows the first).
        scale: length of one period in metres.
        offset: (3,) shift of the pattern in periods.
        direction: (3,) unit vector along which stripes alternate.
    """

    kind: str
    first: Color
    second: Color
    scale: float = 1.0
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, float, float] = (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Shape:
    """A solid that fills its local box ``[-size / 2, size / 2]`` and is centred in it.

    Args:
        kind: a key of :data:`dense3d.datasets.synthetic.shapes.SHAPES`.
        size: full extents along the local x, y and z axes in metres.
    """

    kind: str
    size: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class SceneObject:
    """A shape placed in the world; ``size``, ``rotation`` and ``center`` are its oriented 3D box.

    Args:
        instance_id: positive, unique in the scene, the object's value in the instance map.
        category: class name (see ``classes.CATEGORIES``).
        shape: solid and full extents.
        center: (3,) centre of the oriented box in the world, metres.
        rotation: (3, 3) from the object's frame to the world.
        texture: albedo.
        gloss: strength of the specular highlight, 0 for matt.
        cluster: 0, or the number of the heap whose members are annotated together as a crowd.
    """

    instance_id: int
    category: str
    shape: Shape
    center: np.ndarray
    rotation: np.ndarray
    texture: Texture
    gloss: float = 0.0
    cluster: int = 0


@dataclass(frozen=True, eq=False)
class Actor:
    """An object made of several solids, such as a car: its class and its upright box.

    Args:
        name: class in the words of the layout that annotates it.
        center: (3,) centre of the box in the world, metres.
        size: extents along the heading, across it and upwards.
        yaw: turn of the heading from the world's x towards y in radians.
        members: instance ids of the solids.
    """

    name: str
    center: np.ndarray
    size: tuple[float, float, float]
    yaw: float
    members: tuple[int, ...]


@dataclass(frozen=True)
class Light:
    """A sun: unit vector towards it, its colour times strength, and the ambient light."""

    direction: tuple[float, float, float]
    sun: Color
    ambient: Color


@dataclass(frozen=True)
class Sky:
    """What is seen where no surface is: a gradient from horizon to zenith, mixed with clouds."""

    horizon: Color
    zenith: Color
    cloudiness: float


@dataclass(frozen=True)
class Scene:
    """Everything that a renderer needs besides a camera.

    Args:
        objects: things and stuff (ground, walls) alike.
        light, sky: illumination and background.
        noise: standard deviation of the image sensor's noise, relative to full scale.
        noise_seed: seed of that noise.
        actors: objects that several of the solids make up together.
    """

    objects: tuple[SceneObject, ...]
    light: Light
    sky: Sky
    noise: float = 0.0
    noise_seed: int = 0
    actors: tuple[Actor, ...] = ()
    by_id: dict[int, SceneObject] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id = {item.instance_id: item for item in self.objects}
        if len(by_id) != len(self.objects) or min(by_id, default=1) < 1:
            raise ValueError("the instance ids of a scene's objects must be positive and distinct")
        object.__setattr__(self, "by_id", by_id)
