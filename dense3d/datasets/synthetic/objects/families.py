"""The families by name, and the numbers of their parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dense3d.datasets.synthetic.objects import furniture, things
from dense3d.errors import ConfigError, did_you_mean
from dense3d.structures.cloud_files.meshes import TriangleMesh

# family -> its parts; the place of a family is its class, the places of all parts in turn are their labels
PART_NAMES: dict[str, tuple[str, ...]] = {
    "table": ("top", "leg"),
    "chair": ("seat", "back", "leg", "arm"),
    "sofa": ("seat", "back", "arm"),
    "bed": ("mattress", "frame", "headboard", "pillow"),
    "shelf": ("side", "board", "back"),
    "lamp": ("foot", "pole", "shade"),
    "monitor": ("screen", "stand", "foot"),
    "bathtub": ("tub", "tap", "foot"),
    "mug": ("body", "handle"),
    "bottle": ("body", "neck", "cap"),
    "vase": ("foot", "body", "rim"),
    "bowl": ("bowl", "foot"),
    "airplane": ("fuselage", "wing", "tail", "engine"),
    "car": ("body", "cabin", "wheel"),
    "bicycle": ("wheel", "frame", "handlebar", "saddle"),
    "rocket": ("body", "nose", "fin"),
    "guitar": ("body", "neck", "head"),
    "hammer": ("handle", "head"),
    "umbrella": ("canopy", "shaft", "handle"),
    "mushroom": ("stem", "cap"),
    "tree": ("trunk", "crown"),
}
FAMILIES = tuple(PART_NAMES)
_BUILDERS: dict[str, Callable[[np.random.Generator], dict[str, TriangleMesh]]] = {
    name: getattr(furniture, name, None) or getattr(things, name) for name in FAMILIES
}
FIRST_PART = dict(zip(FAMILIES, np.cumsum([0, *(len(parts) for parts in PART_NAMES.values())]).tolist()))
NUM_PARTS = sum(len(parts) for parts in PART_NAMES.values())


def build_parts(family: str, rng: np.random.Generator) -> dict[int, TriangleMesh]:
    """The meshes of one object by the labels of their parts.

    Args:
        family: one of ``FAMILIES``.
        rng: draws the measures.

    Returns:
        Label (of all families' parts, see ``FIRST_PART``) to mesh; z up, metres. A part may be absent.

    Raises:
        ConfigError: an unknown family.
    """
    if family not in _BUILDERS:
        raise ConfigError(f"unknown family {family!r}{did_you_mean(family, FAMILIES)}")
    parts = _BUILDERS[family](rng)
    return {FIRST_PART[family] + PART_NAMES[family].index(name): mesh for name, mesh in parts.items()}
