"""Meshes that objects are put together from: boxes, surfaces of revolution, tubes along a path; z is up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.structures.cloud_files.meshes import TriangleMesh

SIDES = 24  # of round things
QUADS = np.array([(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)])


def box(size: Sequence[float], center: Sequence[float] = (0, 0, 0)) -> TriangleMesh:
    """A box.

    Args:
        size: along x, y, z.
        center: of the box.
    """
    signs = np.array([(x, y, z) for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)])
    triangles = np.concatenate([QUADS[:, [0, 1, 2]], QUADS[:, [0, 2, 3]]])
    return TriangleMesh(signs * np.asarray(size) / 2 + np.asarray(center), triangles)


def revolved(profile: Sequence[tuple[float, float]], sides: int = SIDES) -> TriangleMesh:
    """A surface of revolution about z.

    Args:
        profile: (radius, z) of its corners, from one end to the other; a radius of 0 closes it.
        sides: around.

    Example:
        >>> revolved([(0, 0), (1, 0), (1, 2), (0, 2)]).vertices.max(axis=0).tolist()
        [1.0, 1.0, 2.0]
    """
    profile = np.asarray(profile, dtype=float)
    angles = np.arange(sides) * 2 * np.pi / sides
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rings = [np.concatenate([radius * circle, np.full((sides, 1), z)], axis=1) for radius, z in profile]
    return TriangleMesh(np.concatenate(rings), _strips(len(profile), sides))


def cylinder(
    radius: float, bottom: float, top: float, top_radius: float | None = None, place: Sequence[float] = (0, 0)
) -> TriangleMesh:
    """An upright cylinder, or a cone cut off where ``top_radius`` is another, at ``place`` in x and y."""
    end = radius if top_radius is None else top_radius
    return moved(revolved([(0, bottom), (radius, bottom), (end, top), (0, top)]), offset=(*place, 0))


def ellipsoid(size: Sequence[float], center: Sequence[float] = (0, 0, 0)) -> TriangleMesh:
    """An ellipsoid with these diameters."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, 13)
    ball = revolved(list(zip(np.cos(angles), np.sin(angles))))
    return TriangleMesh(ball.vertices * np.asarray(size) / 2 + np.asarray(center), ball.triangles)


def tube(path: Sequence[Sequence[float]], radius: float, sides: int = 10) -> TriangleMesh:
    """A round bar along a path, closed at its ends.

    Args:
        path: (N, 3) corners.
        radius: of the bar.
        sides: around.
    """
    path = np.asarray(path, dtype=float)
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    # One direction across that no piece of the path runs along.
    candidates = np.eye(3)
    across = candidates[np.argmin(np.abs(along @ candidates.T).max(axis=0))]
    first = np.cross(along, across)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    second = np.cross(along, first)
    angles = np.arange(sides) * 2 * np.pi / sides
    ring = first[:, None] * np.cos(angles)[:, None] + second[:, None] * np.sin(angles)[:, None]
    rings = np.concatenate([path[:1, None].repeat(sides, 1), path[:, None] + radius * ring])
    rings = np.concatenate([rings, path[-1:, None].repeat(sides, 1)])
    return TriangleMesh(rings.reshape(-1, 3), _strips(len(path) + 2, sides)[:, ::-1])


def ring(radius: float, thickness: float, center: Sequence[float] = (0, 0, 0)) -> TriangleMesh:
    """A ring that stands upright, its axis along y."""
    angles = np.linspace(0, 2 * np.pi, SIDES + 1)
    path = np.stack([radius * np.cos(angles), 0 * angles, radius * np.sin(angles)], axis=1)
    return moved(tube(path, thickness), offset=center)


def moved(
    mesh: TriangleMesh,
    turn: Sequence[float] = (0, 0, 0),
    offset: Sequence[float] = (0, 0, 0),
    scale: Sequence[float] | float = 1.0,
) -> TriangleMesh:
    """A mesh scaled, turned about x, then y, then z (radians), and shifted."""
    matrix = np.eye(3)
    for axis, angle in enumerate(turn):
        one, two = [(1, 2), (2, 0), (0, 1)][axis]
        step = np.eye(3)
        step[one, one] = step[two, two] = np.cos(angle)
        step[one, two], step[two, one] = -np.sin(angle), np.sin(angle)
        matrix = step @ matrix
    vertices = mesh.vertices * np.asarray(scale) @ matrix.T + np.asarray(offset)
    return TriangleMesh(vertices, mesh.triangles)


def joined(meshes: Sequence[TriangleMesh]) -> TriangleMesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts)]
    return TriangleMesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(triangles))


def area_of(mesh: TriangleMesh) -> float:
    """Area of the surface."""
    corners = mesh.vertices[mesh.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(normals, axis=1).sum() / 2)


def _strips(rings: int, sides: int) -> np.ndarray:
    """Triangles between neighbouring rings of vertices, counter-clockwise seen from outside for rising z."""
    ring, side = np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij")
    here, there = (ring * sides + side).ravel(), (ring * sides + (side + 1) % sides).ravel()
    first = np.stack([here, there, there + sides], axis=1)
    second = np.stack([here, there + sides, here + sides], axis=1)
    return np.concatenate([first, second])
