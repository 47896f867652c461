"""The solids of the synthetic world: a triangle mesh to cast rays at and the exact normal of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from dense3d.datasets.synthetic.scene import Shape
from dense3d.datasets.synthetic.vectors import unit
from dense3d.optional import require

# The bars of a cross are this fraction of its extent thick.
CROSS_THICKNESS = 0.3
# Segments of a full turn; the mesh lies inside the true solid by less than 0.5 % of the radius.
SEGMENTS = 64

MeshArrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Solid:
    """How a kind of shape is built.

    Args:
        mesh: extents (3,) -> vertices (V, 3) float32 in the local frame and triangles (T, 3) uint32,
            counter-clockwise seen from outside.
        normals: extents (3,), local surface points (N, 3), facet normals (N, 3) -> unit normals (N, 3).
    """

    mesh: Callable[[np.ndarray], MeshArrays]
    normals: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def mesh(shape: Shape) -> MeshArrays:
    """Vertices (V, 3) float32 in the local frame, metres, and triangles (T, 3) uint32 of ``shape``."""
    return SHAPES[shape.kind].mesh(np.asarray(shape.size, dtype=np.float32))


def normals(shape: Shape, points: np.ndarray, facet_normals: np.ndarray) -> np.ndarray:
    """Outward unit normals of the smooth solid (not of its facets).

    Args:
        shape: the solid.
        points: (N, 3) points on its mesh, local frame.
        facet_normals: (N, 3) unit normals of the triangles they lie on; they tell a cap from a side.

    Returns:
        (N, 3) unit vectors in the local frame.
    """
    return SHAPES[shape.kind].normals(np.asarray(shape.size, dtype=points.dtype), points, facet_normals)


@cache
def _unit_mesh(kind: str) -> MeshArrays:
    """Open3D's primitive of this kind, scaled into the cube [-0.5, 0.5]."""
    build = require("open3d", "rendering synthetic scenes").geometry.TriangleMesh
    primitive = {
        "box": lambda: build.create_box(),
        "sphere": lambda: build.create_sphere(1.0, resolution=SEGMENTS // 2),
        "cylinder": lambda: build.create_cylinder(1.0, 1.0, resolution=SEGMENTS, split=1),
        "cone": lambda: build.create_cone(1.0, 1.0, resolution=SEGMENTS, split=1),
    }[kind]()
    vertices = np.asarray(primitive.vertices)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    unit = (vertices - (low + high) / 2) / (high - low)
    return unit.astype(np.float32), np.asarray(primitive.triangles).astype(np.uint32)


def _scaled(kind: str) -> Callable[[np.ndarray], MeshArrays]:
    def build(size: np.ndarray) -> MeshArrays:
        vertices, triangles = _unit_mesh(kind)
        return vertices * size, triangles

    return build


def _torus_mesh(size: np.ndarray) -> MeshArrays:
    """A ring of outer diameter ``size[0]`` whose tube has the diameter ``size[2]``."""
    build = require("open3d", "rendering synthetic scenes").geometry.TriangleMesh
    tube = float(size[2]) / 2
    ring = build.create_torus(float(size[0]) / 2 - tube, tube, SEGMENTS, SEGMENTS // 2)
    return np.asarray(ring.vertices).astype(np.float32), np.asarray(ring.triangles).astype(np.uint32)


def _cross_mesh(size: np.ndarray) -> MeshArrays:
    """Three bars along the axes; where they meet, the inner faces are hidden by the outer ones."""
    vertices, triangles = _unit_mesh("box")
    bars = [
        vertices * np.where(np.arange(3) == axis, size, size * CROSS_THICKNESS).astype(np.float32)
        for axis in range(3)
    ]
    faces = [triangles + np.uint32(len(vertices) * bar) for bar in range(3)]
    return np.concatenate(bars), np.concatenate(faces)


def _flat_normals(size: np.ndarray, points: np.ndarray, facets: np.ndarray) -> np.ndarray:
    return facets


def _ellipsoid_normals(size: np.ndarray, points: np.ndarray, facets: np.ndarray) -> np.ndarray:
    return unit(points / size**2)


def _cylinder_normals(size: np.ndarray, points: np.ndarray, facets: np.ndarray) -> np.ndarray:
    side = unit(points * np.array([1, 1, 0], dtype=points.dtype))
    return np.where(np.abs(facets[:, 2:]) > 0.5, facets, side)


def _cone_normals(size: np.ndarray, points: np.ndarray, facets: np.ndarray) -> np.ndarray:
    radial = unit(points * np.array([1, 1, 0], dtype=points.dtype))
    side = radial * size[2]
    side[:, 2] = size[0] / 2
    base = facets[:, 2:] < 0
    return np.where(base, facets, unit(side))


def _torus_normals(size: np.ndarray, points: np.ndarray, facets: np.ndarray) -> np.ndarray:
    radial = unit(points * np.array([1, 1, 0], dtype=points.dtype))
    return unit(points - radial * (size[0] - size[2]) / 2)


SHAPES: dict[str, Solid] = {
    "box": Solid(_scaled("box"), _flat_normals),
    "sphere": Solid(_scaled("sphere"), _ellipsoid_normals),
    "cylinder": Solid(_scaled("cylinder"), _cylinder_normals),
    "cone": Solid(_scaled("cone"), _cone_normals),
    "torus": Solid(_torus_mesh, _torus_normals),
    "cross": Solid(_cross_mesh, _flat_normals),
}
