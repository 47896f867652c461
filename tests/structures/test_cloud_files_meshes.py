"""Meshes: every face is there, points lie on the surface and are spread evenly."""

import numpy as np
import pytest

from dense3d.structures import read_cloud
from dense3d.structures.cloud_files.meshes import TriangleMesh, read_mesh, sample_mesh

CUBE = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def _obj(path):
    lines = [f"v {x} {y} {z}" for x, y, z in CUBE] + [
        f"f {' '.join(f'{i + 1}//1' for i in q)}" for q in QUADS
    ]
    path.write_text("\n".join(lines))


def _off(path, head="OFF\n"):
    lines = [f"{x} {y} {z}" for x, y, z in CUBE] + [f"4 {' '.join(map(str, q))} 255 0 0" for q in QUADS]
    path.write_text(f"{head}8 6 0\n" + "\n".join(lines))


@pytest.mark.parametrize("name", ["a.obj", "a.off", "b.off"])
def test_points_of_a_cube_of_quadrangles(tmp_path, name):
    if name == "a.obj":
        _obj(tmp_path / name)
    else:
        _off(tmp_path / name, "OFF" if name == "b.off" else "# a cube\nOFF\n")
    cloud = read_cloud(tmp_path / name, mesh_points=6000)
    on_face = np.isclose(cloud.points, 0, atol=1e-6) | np.isclose(cloud.points, 1, atol=1e-6)
    assert len(cloud) == 6000 and on_face.any(axis=1).all()
    outward = np.argmax(on_face, axis=1)
    expected = np.where(cloud.points[np.arange(6000), outward] > 0.5, 1, -1)
    assert np.abs(cloud.normals[np.arange(6000), outward]).min() > 0.999
    faces = np.bincount(2 * outward + (expected > 0), minlength=6)
    assert np.abs(faces - 1000).max() < 5 * np.sqrt(1000)  # as many on each face
    np.testing.assert_array_equal(read_cloud(tmp_path / name, mesh_points=6000).points, cloud.points)


def test_negative_indices_of_obj_count_from_the_end(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\n")
    assert read_mesh(tmp_path / "a.obj").triangles.tolist() == [[0, 1, 2]]


def test_faces_without_area_give_no_point():
    mesh = TriangleMesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 0, 1]]))
    found = sample_mesh(mesh, 500, 0, "a")
    assert np.isfinite(found["normals"]).all() and np.allclose(np.abs(found["normals"][:, 2]), 1)


def test_real_meshes(sample_data):
    triangles = {"suzanne.obj": 32 + 2 * 468, "teapot.obj": 6320, "cow.obj": None, "spot.obj": 5856}
    for name, count in triangles.items():
        mesh = read_mesh(sample_data / "meshes" / "common" / name)
        assert count is None or len(mesh.triangles) == count
        cloud = read_cloud(sample_data / "meshes" / "common" / name)
        assert len(cloud) == 8192 and np.isfinite(cloud.points).all()
        np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, atol=1e-4)
    for path in (sample_data / "meshes" / "ModelNet10").glob("*/*/*.off"):
        assert len(read_cloud(path, mesh_points=100)) == 100
    bunny = sample_data / "meshes" / "common" / "bunny.ply"
    assert len(read_cloud(bunny)) == 2885 and len(read_cloud(bunny, mesh_points=50)) == 50


def test_real_clouds(sample_data, said):
    scan = read_cloud(sample_data / "kitti" / "training" / "velodyne" / "000008.bin")
    assert scan.intensity is not None and scan.intensity.max() <= 1
    room = read_cloud(sample_data / "scannet" / "points" / "scene0000_00.bin")
    assert len(room) == 40684 and 0.2 < room.colors.mean() < 0.8
    room = read_cloud(sample_data / "sunrgbd" / "points" / "000017.bin")
    assert len(room) == 50000 and 0.2 < room.colors.mean() < 0.8
    shape = read_cloud(sample_data / "modelnet40_normal_resampled" / "cup" / "cup_0028.txt")
    assert len(shape) == 2048 and shape.normals is not None and shape.colors is None
    assert not any("speaks for y up" in message for message in said)
