"""Where rays meet triangle meshes, on the CPU and without a graphics library.

Embree (the ``embreex`` wheel) chooses the triangle. Where on the ray it lies is computed from the triangle's
plane, since Embree's own distances differ by some units in the last place between SSE, AVX2 and AVX-512, and
rendered data should not depend on the processor.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dense3d.datasets.synthetic.shapes import MeshArrays
from dense3d.datasets.synthetic.vectors import dot, unit
from dense3d.optional import require

PURPOSE = "rendering synthetic scenes"
# Plane and Embree agree much closer than this fraction of the distance, unless the ray grazes the triangle.
DISTANCE_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Intersections:
    """The first triangle on each of N rays.

    Args:
        t: (N,) float32 ray parameter, ``inf`` for a miss.
        index: (N,) int16 number of the mesh, -1 for a miss.
        facet_normals: (N, 3) float32 outward unit normals of the triangles, zero for a miss.
    """

    t: np.ndarray
    index: np.ndarray
    facet_normals: np.ndarray


class RayCaster:
    """Casts rays at closed triangle meshes.

    Args:
        meshes: vertices (V, 3) float32 in the world, metres, and triangles (T, 3), counter-clockwise seen
            from outside; at most 32767 meshes.

    Raises:
        MissingDependencyError: ``embreex`` is not installed.

    Example:
        >>> corners = np.array([[0, 0, 5], [0, 1, 5], [1, 0, 5]], np.float32)
        >>> rays = np.array([[0.1, 0.1, 2.0], [0.0, 0.0, -1.0]], np.float32)
        >>> caster = RayCaster([(corners, np.array([[0, 1, 2]], np.uint32))])
        >>> hits = caster.cast(np.zeros(3, np.float32), rays)
        >>> hits.t.tolist(), hits.index.tolist(), hits.facet_normals[0].tolist()
        ([2.5, inf], [0, -1], [0.0, 0.0, -1.0])
    """

    def __init__(self, meshes: Sequence[MeshArrays]) -> None:
        # embreex has no wheel for Linux on ARM. Open3D has the same Embree, but needs libX11 and libGL.
        self._tracer = (_Open3D if platform.machine() == "aarch64" else _Embree)(meshes)
        corners = [vertices.astype(np.float64)[triangles] for vertices, triangles in meshes]
        self._first_facet = np.cumsum([0, *(len(part) for part in corners)])
        # One more triangle, without area, for rays in an empty scene.
        first, second, third = np.concatenate([*corners, np.zeros((1, 3, 3))]).transpose(1, 0, 2)
        self._corners, self._normals = first, unit(np.cross(second - first, third - first))

    def cast(self, origin: np.ndarray, directions: np.ndarray) -> Intersections:
        """The first triangle on each ray from one point.

        Args:
            origin: (3,) float32.
            directions: (N, 3) float32, of any length.
        """
        index, triangles, traced = self._tracer.first(_repeated(origin, len(directions)), directions)
        missed = index < 0
        facets = self._first_facet[index] + triangles  # some triangle for a miss
        height = dot(self._corners - origin.astype(np.float64), self._normals)
        slope = np.zeros(len(directions))
        for axis in range(3):
            slope += self._normals[:, axis].take(facets) * directions[:, axis]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = height.take(facets) / slope
            agree = np.abs(distance - traced) <= DISTANCE_TOLERANCE * traced
        t = np.where(agree, distance, traced).astype(np.float32)
        t[missed] = np.inf
        facet_normals = self._normals.astype(np.float32).take(facets, axis=0)
        facet_normals[missed] = 0
        return Intersections(t, index.astype(np.int16), facet_normals)

    def occluded(self, origins: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Whether anything lies on each ray: (N,) bool.

        Args:
            origins: (N, 3) float32.
            direction: (3,) float32, the same for all rays.
        """
        return self._tracer.any(origins, _repeated(direction, len(origins)))


def _repeated(vector: np.ndarray, count: int) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(vector, (count, 3)))


class _Embree:
    def __init__(self, meshes: Sequence[MeshArrays]) -> None:
        # Robust: no ray slips through between two triangles.
        self._scene: Any = require("embreex.rtcore_scene", PURPOSE).EmbreeScene(robust=True)
        add = require("embreex.mesh_construction", PURPOSE).TriangleMesh
        for vertices, triangles in meshes:
            add(self._scene, vertices, triangles.astype(np.int32))

    def first(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) int32 mesh and triangle, -1 for a miss, and (N,) ray parameter."""
        found = self._scene.run(origins, directions, output=True)
        return found["geomID"], found["primID"], found["tfar"]

    def any(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        return self._scene.run(origins, directions, query="OCCLUDED") >= 0


class _Open3D:
    def __init__(self, meshes: Sequence[MeshArrays]) -> None:
        open3d = require("open3d", PURPOSE)
        self._tensor = open3d.core.Tensor.from_numpy
        self._scene: Any = open3d.t.geometry.RaycastingScene(nthreads=1)
        for vertices, triangles in meshes:
            self._scene.add_triangles(self._tensor(vertices), self._tensor(triangles))

    def first(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = self._scene.cast_rays(self._tensor(np.concatenate([origins, directions], axis=1)))
        meshes, triangles = (found[key].numpy().astype(np.int32) for key in ("geometry_ids", "primitive_ids"))
        return meshes, triangles, found["t_hit"].numpy()

    def any(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        rays = np.concatenate([origins, directions], axis=1)
        return self._scene.test_occlusions(self._tensor(rays)).numpy()
