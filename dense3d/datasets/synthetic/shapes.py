"""The solids of the synthetic world: a triangle mesh to cast rays at and the exact normal of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from dense3d.datasets.synthetic.scene import Shape
from dense3d.datasets.synthetic.vectors import unit

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
    """The solid that fills the cube [-0.5, 0.5]."""
    if kind == "box":
        corners = np.array(list(product((-0.5, 0.5), repeat=3)))
        sides = np.array([(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
        return _closed(corners, sides)
    polar = np.pi * np.arange(SEGMENTS // 2 + 1) / (SEGMENTS // 2)
    radius, height = {
        "sphere": (0.5 * np.sin(polar), 0.5 * np.cos(polar)),
        "cylinder": (np.array([0, 0.5, 0.5, 0]), np.array([0.5, 0.5, -0.5, -0.5])),
        "cone": (np.array([0, 0.5, 0]), np.array([0.5, -0.5, -0.5])),
    }[kind]
    radius[-1] = 0  # the sine of pi is not quite zero
    return _revolved(radius, height)


def _revolved(radius: np.ndarray, height: np.ndarray) -> MeshArrays:
    """The closed surface that a profile sweeps out about the z axis.

    Args:
        radius, height: (P,) points of the profile, downwards on its outer side. The last joins the first;
            where both lie on the axis, that adds nothing.
    """
    angle = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    x, y = np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle))
    vertices = np.stack([x, y, np.broadcast_to(height[:, None], x.shape)], axis=-1).reshape(-1, 3)
    upper = np.arange(len(vertices)).reshape(x.shape)
    upper[radius == 0] = upper[radius == 0, :1]  # a ring on the axis is one vertex
    lower = np.roll(upper, -1, axis=0)
    sides = np.stack([upper, lower, np.roll(lower, -1, axis=1), np.roll(upper, -1, axis=1)], axis=-1)
    return _closed(vertices, sides.reshape(-1, 4))


def _closed(vertices: np.ndarray, sides: np.ndarray) -> MeshArrays:
    """Mesh of plane (S, 4) sides, counter-clockwise; one with repeated corners is a triangle or nothing."""
    triangles = np.concatenate([sides[:, [0, 1, 2]], sides[:, [0, 2, 3]]])
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (c != a)]
    return vertices.astype(np.float32), triangles.astype(np.uint32)


def _scaled(kind: str) -> Callable[[np.ndarray], MeshArrays]:
    def build(size: np.ndarray) -> MeshArrays:
        vertices, triangles = _unit_mesh(kind)
        return vertices * size, triangles

    return build


def _torus_mesh(size: np.ndarray) -> MeshArrays:
    """A ring of outer diameter ``size[0]`` whose tube has the diameter ``size[2]``."""
    tube = float(size[2]) / 2
    around = 4 * np.pi * np.arange(SEGMENTS // 2) / SEGMENTS
    return _revolved(float(size[0]) / 2 - tube + tube * np.cos(around), -tube * np.sin(around))


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
