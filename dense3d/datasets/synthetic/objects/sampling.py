"""From the meshes of an object to a cloud, clean or as a scanner sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dense3d.datasets.synthetic.objects.families import FAMILIES, build_parts
from dense3d.datasets.synthetic.objects.primitives import area_of
from dense3d.structures.cloud_files.meshes import TriangleMesh, sample_mesh
from dense3d.structures.cloud_files.open3d_files import quiet_open3d

BACKGROUND = 255  # label of points that belong to no object
SURPLUS = 3  # so many times the points are sampled where some will be hidden
HULL = 60.0  # radius of the sphere of hidden point removal, relative to the distance of the viewer
NOISE = (0.002, 0.015)  # standard deviation of a scan's noise, relative to the object's radius
BACKGROUND_SHARE = (0.05, 0.3)


@dataclass(frozen=True, eq=False)
class ObjectCloud:
    """An object as points.

    Args:
        points: (N, 3) float32, metres, z up; an object stands on z = 0 or lies about it.
        normals: (N, 3) float32, outward.
        parts: (N,) uint8, labels of all families' parts, 255 for the background of a scan.
        label: of the family.
    """

    points: np.ndarray
    normals: np.ndarray
    parts: np.ndarray
    label: int


def make_object(
    family: str, rng: np.random.Generator, num_points: int = 2048, scan: bool = False
) -> ObjectCloud:
    """One object of a family.

    Args:
        family: one of ``FAMILIES``.
        rng: draws measures, points and what a scan does to them.
        num_points: of the cloud.
        scan: as seen from one side, with noise and points of a floor and of clutter.

    Returns:
        Its points, in random order.
    """
    meshes = build_parts(family, rng)
    points, normals, parts = sample_parts(meshes, rng, num_points * (SURPLUS if scan else 1))
    if scan:
        points, normals, parts = _scanned(points, normals, parts, rng)
    order = rng.permutation(len(points))[:num_points]
    if len(order) < num_points:  # so much is hidden: some points stand twice
        order = np.concatenate([order, rng.choice(order, num_points - len(order))])
    label = FAMILIES.index(family)
    return ObjectCloud(points[order], normals[order], parts[order], label)


def sample_parts(
    meshes: Mapping[int, TriangleMesh], rng: np.random.Generator, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points spread evenly over the surfaces of several meshes, by Open3D.

    Args:
        meshes: label to mesh.
        rng: gives Open3D its seeds.
        count: of points in all; each mesh has as many as its area asks for, and at least one.

    Returns:
        points (count, 3) float32, normals (count, 3) float32, labels (count,) uint8.
    """
    areas = np.array([area_of(mesh) for mesh in meshes.values()])
    shares = rng.multinomial(max(count - len(meshes), 0), areas / areas.sum()) + 1
    found = [
        sample_mesh(mesh, int(share), int(rng.integers(1 << 31)), "object")
        for mesh, share in zip(meshes.values(), shares)
    ]
    labels = np.repeat(np.array(list(meshes), dtype=np.uint8), shares)
    joined = (
        np.concatenate([part[name] for part in found]).astype(np.float32) for name in ("points", "normals")
    )
    return *joined, labels


def visible(points: np.ndarray, viewer: np.ndarray) -> np.ndarray:
    """Indices of the points that a viewer sees.

    S. Katz, A. Tal, R. Basri, Direct Visibility of Point Sets (SIGGRAPH 2007), in Open3D.

    Args:
        points: (N, 3).
        viewer: (3,) place outside of the cloud.
    """
    with quiet_open3d() as open3d:
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(np.float64)))
        distance = float(np.linalg.norm(points - viewer, axis=1).max())
        _, index = cloud.hidden_point_removal(viewer.astype(np.float64), HULL * distance)
    return np.sort(np.asarray(index))


def _scanned(
    points: np.ndarray, normals: np.ndarray, parts: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a scanner at one place sees of an object, with noise, and of what is around it."""
    middle, radius = points.mean(axis=0), float(np.linalg.norm(points - points.mean(axis=0), axis=1).max())
    angle, rise = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.9)
    direction = np.array([np.cos(angle) * np.cos(rise), np.sin(angle) * np.cos(rise), np.sin(rise)])
    seen = visible(points, middle + rng.uniform(2.5, 5) * radius * direction)
    points, normals, parts = points[seen], normals[seen], parts[seen]
    noise = rng.uniform(*NOISE) * radius * rng.standard_normal(points.shape)
    share = rng.uniform(*BACKGROUND_SHARE)
    around, their_normals = _background(len(points) * share / (1 - share), points, radius, rng)
    return (
        np.concatenate([points + noise, around]).astype(np.float32),
        np.concatenate([normals, their_normals]).astype(np.float32),
        np.concatenate([parts, np.full(len(around), BACKGROUND, np.uint8)]),
    )


def _background(
    count: float, points: np.ndarray, radius: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points of the floor under an object, and of a board behind it or of nothing in particular."""
    count = max(1, round(count))
    on_floor = rng.binomial(count, 0.6)
    middle, low = points.mean(axis=0), points[:, 2].min()
    floor = np.column_stack(
        [middle[:2] + radius * rng.uniform(-1.1, 1.1, (on_floor, 2)), np.full(on_floor, low)]
    )
    angle, rest = rng.uniform(0, 2 * np.pi), count - on_floor
    along, out = np.array([-np.sin(angle), np.cos(angle), 0]), np.array([np.cos(angle), np.sin(angle), 0])
    board = middle + 1.05 * radius * out + rng.uniform(-1, 1, (rest, 1)) * radius * along
    board[:, 2] = low + rng.uniform(0, 1.5, rest) * radius
    board += rng.normal(scale=rng.choice([0.005, 0.1]) * radius, size=board.shape)
    up = np.tile([0.0, 0.0, 1.0], (on_floor, 1))
    return np.concatenate([floor, board]), np.concatenate([up, np.tile(-out, (rest, 1))])
