"""Surfaces in world millimetres: size, place, closedness and outward normals in every orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.volumes import write_meshes
from dense3d.errors import ConfigError
from dense3d.structures import AxisOrder, Volume
from tests.datasets.volumes.files import AFFINE, ORIENTATIONS

pytest.importorskip("skimage")
RADII = np.array([9.0, 14.0, 20.0])  # millimetres
CENTRE = np.array([4.0, 30.0, 29.0])


def ellipsoid(order: AxisOrder) -> tuple[Volume, np.ndarray]:
    """An ellipsoid in the world, sampled on a grid of any orientation."""
    shape = (60, 50, 24)
    affine = AFFINE @ order.index_affine(shape)
    stored = tuple(shape[axis] for axis in order.axes)
    index = np.stack(np.meshgrid(*(np.arange(size) for size in stored), indexing="ij"))
    world = np.tensordot(affine[:3, :3], index, 1) + affine[:3, 3, None, None, None]
    inside = (((world - CENTRE[:, None, None, None]) / RADII[:, None, None, None]) ** 2).sum(0) <= 1
    return Volume(np.zeros(stored, np.uint8), affine), inside


def triangles(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(F, 3, 3) corners and (F, 3) stored normals of a binary STL."""
    content = path.read_bytes()
    count = int(np.frombuffer(content, "<u4", 1, 80)[0])
    rows = np.frombuffer(content, np.dtype([("n", "<f4", 3), ("c", "<f4", (3, 3)), ("a", "<u2")]), count, 84)
    assert len(content) == 84 + 50 * count
    return rows["c"].astype(float), rows["n"].astype(float)


@pytest.mark.parametrize("order", ORIENTATIONS[::5], ids=str)
def test_an_ellipsoid_has_its_volume_place_and_outward_normals(tmp_path: Path, order: AxisOrder) -> None:
    volume, inside = ellipsoid(order)
    (path,) = write_meshes(tmp_path, inside, volume, {1: "a/../b"})
    assert path == tmp_path / "001_a_.._b.stl"
    assert b"SPACE=RAS" in path.read_bytes()[:80]
    corners, normals = triangles(path)
    signed = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert signed == pytest.approx(4 / 3 * np.pi * RADII.prod(), rel=0.03)  # positive: outward
    assert corners.reshape(-1, 3).min(0) == pytest.approx(CENTRE - RADII, abs=1.5)
    assert corners.reshape(-1, 3).max(0) == pytest.approx(CENTRE + RADII, abs=1.5)
    outward = np.einsum("fi,fi->f", normals, (corners.mean(1) - CENTRE) / RADII**2)
    assert (outward > 0).mean() > 0.99
    edges = np.concatenate([corners[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))]).round(4)
    forward = {edge.tobytes() for edge in edges}
    assert all(edge[::-1].tobytes() in forward for edge in edges)  # closed, and oriented alike


def test_ply_has_colours_and_the_same_surface(tmp_path: Path) -> None:
    volume, inside = ellipsoid(AxisOrder())
    labels = inside * np.uint8(2)
    labels[:3, :3, :3] = 5  # touches the border, and is closed there
    paths = write_meshes(tmp_path, labels, volume, {2: "organ"}, {2: (1, 0.5, 0)}, "ply")
    assert [path.name for path in paths] == ["002_organ.ply", "005_Segment_5.ply"]
    header, _, body = paths[0].read_bytes().partition(b"end_header\n")
    count = int(header.split(b"element vertex ")[1].split()[0])
    points = np.frombuffer(body, np.dtype([("p", "<f4", 3), ("c", "u1", 3)]), count)
    faces = np.frombuffer(body, np.dtype([("n", "u1"), ("i", "<i4", 3)]), -1, points.nbytes)
    assert (points["c"] == [255, 128, 0]).all()
    assert (faces["n"] == 3).all()
    corners, _ = triangles(write_meshes(tmp_path, labels, volume, {2: "organ"})[0])
    np.testing.assert_array_equal(points["p"][faces["i"]], corners.astype(np.float32))


def test_a_working_grid_and_wrong_requests(tmp_path: Path) -> None:
    volume, inside = ellipsoid(AxisOrder((1, 2, 0), (True, False, True)))
    working = volume.reduced(20)
    (coarse,) = write_meshes(tmp_path, working.from_full(volume.canonical().from_source(inside)), working)
    corners, _ = triangles(coarse)
    assert corners.reshape(-1, 3).mean(0) == pytest.approx(CENTRE, abs=2)
    with pytest.raises(ConfigError, match="stl or ply, not 'obj'"):
        write_meshes(tmp_path, inside, volume, kind="obj")
    with pytest.raises(ConfigError, match="do not lie on the"):
        write_meshes(tmp_path, inside[:5], volume)
