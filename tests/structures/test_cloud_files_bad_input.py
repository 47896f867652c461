"""Clouds in files that are damaged, odd or very large: one sentence, or points and a note."""

import tracemalloc

import numpy as np
import pytest

from dense3d.errors import ConfigError, DataError
from dense3d.structures import PointCloud, read_cloud, write_cloud
from dense3d.structures.cloud_files.judging import TO_Z_UP, looks_y_up

PLY = (
    "ply\nformat {} 1.0\nelement vertex 9\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
)


@pytest.mark.parametrize(
    "suffix", ["ply", "pcd", "xyz", "csv", "npy", "npz", "h5", "bin", "las", "e57", "obj", "off", "stl"]
)
def test_empty_and_foreign_files_are_one_sentence(tmp_path, suffix):
    for package, wanted in (("laspy", "las"), ("pye57", "e57"), ("h5py", "h5")):
        if suffix == wanted:
            pytest.importorskip(package)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\..* is empty"):
        read_cloud(path)
    path.write_bytes(b"\xff\xfe this is none of these formats \x00\x01")
    with pytest.raises(DataError, match=rf"a\.{suffix}"):
        read_cloud(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ply", PLY.format("binary_little_endian").encode() + bytes(50), "lacks 58 bytes of its 9 points"),
        ("a.ply", (PLY.format("ascii") + "0 0 0\n").encode(), "lacks 8 of its 9 points"),
        ("a.ply", PLY.format("ascii").replace("9", "0").encode(), "holds no point"),
        ("a.ply", PLY.format("ascii").replace(" z", " q").encode() + b"0 0 0\n" * 9, "not x, y and z"),
        ("a.ply", b"ply\nformat ascii 1.0\n", "no complete PLY header"),
        ("a.xyz", b"0 0 0\n1 2\n", "line 2 has 2 columns, but 3 stand before it"),
        ("a.xyz", b"0 0 0\n1 2 three\n", "line 2: '1 2 three' is no row of numbers"),
        ("a.xyz", b"# nothing\n\n", "holds no point"),
        ("a.xyz", b"1 2\n3 4\n", "2 columns, and what they mean cannot be told"),
        ("a.xyz", b"1 2 3 4 5\n", "5 columns, and what they mean cannot be told"),
        ("a.xyz", b"1 2 3 300 0 70000\n", "in none of the ranges"),
        ("a.csv", b"x,y,z,label\n1,2,3,4.5\n", "labels are whole numbers, but one is 4.5"),
        ("a.csv", b"x,y,z,r,g\n1,2,3,4,5\n", "of r g b it has only r g"),
        ("a.xyz", b"nan 0 0\n0 inf 0\n", "not one of its 2 points has finite coordinates"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\n", "2 vertices but no face"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n", "cut off"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n", "a face names a vertex"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n", "no area"),
        ("a.pcd", b"VERSION 0.7\nFIELDS x y z\n", "no complete PCD header"),
        ("a.glb", b"glTF", "is of no kind of cloud that is read"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_cloud(tmp_path / name)
    assert name in str(caught.value)


def test_pcd_that_was_cut_off_is_refused(tmp_path):
    path = write_cloud(PointCloud(np.random.default_rng(0).normal(size=(50, 3))), tmp_path / "a.pcd")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cut off"):
        read_cloud(path)


def test_pcd_of_all_three_kinds(tmp_path):
    from dense3d.structures.cloud_files.open3d_files import quiet_open3d

    rng = np.random.default_rng(0)
    points, colors = (
        rng.normal(size=(40, 3)).astype(np.float32),
        rng.integers(0, 256, (40, 3)).astype(np.uint8),
    )
    with quiet_open3d() as open3d:
        cloud = open3d.t.geometry.PointCloud(points)
        cloud.point.colors = colors
        for name, options in (("a", {}), ("b", dict(write_ascii=True)), ("c", dict(compressed=True))):
            assert open3d.t.io.write_point_cloud(str(tmp_path / f"{name}.pcd"), cloud, **options)
    for name in "abc":
        back = read_cloud(tmp_path / f"{name}.pcd")
        np.testing.assert_allclose(back.points, points, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(back.colors, colors / 255, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("suffix", ["ply", "pcd", "npz", "h5", "npy", "csv"])
def test_damaged_bytes_are_sentences_or_points(tmp_path, suffix):
    if suffix == "h5":
        pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    cloud = PointCloud(rng.normal(size=(50, 3)), colors=rng.random((50, 3)), labels=rng.integers(0, 9, 50))
    content = write_cloud(cloud, tmp_path / f"a.{suffix}").read_bytes()
    for _ in range(40):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 500), 4):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / f"b.{suffix}").write_bytes(damaged)
        try:
            assert np.isfinite(read_cloud(tmp_path / f"b.{suffix}").points).all()
        except (DataError, ConfigError) as error:
            assert "\n" not in str(error) and f"b.{suffix}" in str(error)


def test_pickles_in_arrays_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([print, {}], dtype=object))
    with pytest.raises(DataError, match="cannot be read as an array"):
        read_cloud(tmp_path / "a.npy")


def test_points_that_are_not_finite_are_dropped_with_a_count(tmp_path, said):
    points = np.random.default_rng(0).normal(size=(10, 3))
    points[2, 0], points[5] = np.nan, -np.inf
    np.save(tmp_path / "a.npy", points)
    assert len(read_cloud(tmp_path / "a.npy")) == 8
    assert any("2 of 10 points are not finite" in message for message in said)


def test_duplicated_points_stay_until_they_are_asked_away(tmp_path):
    cloud = read_cloud(write_cloud(PointCloud(np.repeat(np.eye(3), 5, axis=0)), tmp_path / "a.ply"))
    left, dropped = cloud.distinct()
    assert len(cloud) == 15 and dropped == 12 and left.points.tolist() == np.eye(3).tolist()


@pytest.mark.parametrize("suffix", ["npy", "bin", "ply", "h5"])
def test_many_points_are_thinned_while_they_are_read(tmp_path, said, suffix):
    if suffix == "h5":
        pytest.importorskip("h5py")
    points = np.random.default_rng(0).normal(size=(2_000_000, 3)).astype(np.float32)
    points[:, 0] = np.arange(len(points))
    path = write_cloud(PointCloud(points), tmp_path / f"a.{suffix}")
    columns = "x y z" if suffix == "bin" else None
    tracemalloc.start()
    cloud = read_cloud(path, columns, max_points=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(cloud) == 1000 and any("1000 of its 2000000 points are kept" in m for m in said)
    assert peak < 3 * points.nbytes
    rows = cloud.points[:, 0]  # an even choice, in the order of the file
    assert (np.diff(rows) > 0).all()
    assert abs(rows.mean() / len(points) - 0.5) < 5 * 0.2887 / np.sqrt(1000)


def test_text_is_thinned_too(tmp_path):
    np.savetxt(tmp_path / "a.xyz", np.arange(750_000).reshape(-1, 3), fmt="%d")
    cloud = read_cloud(tmp_path / "a.xyz", max_points=50)
    assert len(cloud) == 50 and (np.diff(cloud.points[:, 0]) > 0).all()


def test_map_coordinates_keep_their_millimetres(tmp_path, said):
    places = np.array([[500000.123, 5400000.456, 200.0], [500010.001, 5400000.002, 201.0]])
    np.savetxt(tmp_path / "a.xyz", places, fmt="%.3f")
    cloud = read_cloud(tmp_path / "a.xyz")
    np.testing.assert_allclose(cloud.points + np.array(cloud.origin), places, atol=1e-3)
    for suffix in ("xyz", "ply", "npz"):
        again = read_cloud(write_cloud(cloud, tmp_path / f"b.{suffix}"))
        np.testing.assert_allclose(again.points + np.array(again.origin), places, atol=2e-3)
    assert any("was subtracted" in message for message in said)


def _room(count=20_000):
    rng = np.random.default_rng(0)
    wall = np.array([[6, 0.01, 2.5], [0.01, 5, 2.5], [6, 5, 0.01], [6, 5, 0.01]])
    which = rng.integers(0, 4, count)
    points = rng.random((count, 3)) * wall[which] + (which == 3)[:, None] * [0, 0, 2.5]
    return np.concatenate([points, rng.random((count // 4, 3)) * [2, 1, 0.8] + [1, 1, 0]])


def test_a_room_with_y_up_is_noticed_and_turned(tmp_path, said):
    room = _room()
    assert not looks_y_up(room)
    lying = room @ np.linalg.inv(TO_Z_UP["y"][:3, :3]).T
    np.save(tmp_path / "a.npy", lying)
    read_cloud(tmp_path / "a.npy")
    assert any("speaks for y up" in message for message in said)
    said.clear()
    np.testing.assert_allclose(read_cloud(tmp_path / "a.npy", up_axis="y").points, room, atol=1e-5)
    np.testing.assert_allclose(read_cloud(tmp_path / "a.npy", up_axis="z").points, lying, atol=1e-5)
    assert not said
    turned = read_cloud(tmp_path / "a.npy", up_axis="x").points
    np.testing.assert_allclose(turned[:, 2], lying[:, 0], atol=1e-5)
    assert all(np.isclose(np.linalg.det(matrix), 1) for matrix in TO_Z_UP.values())


def test_failed_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_cloud(PointCloud(np.eye(3)), tmp_path / "a.npz")
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write_bytes(b"half")
        raise OSError("the disk is gone")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        write_cloud(PointCloud(np.zeros((5, 3))), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("name", ["a.obj", "a.jpg", "a"])
def test_kinds_that_are_not_written_are_named(tmp_path, name):
    with pytest.raises(DataError, match="a cloud is written as"):
        write_cloud(PointCloud(np.eye(3)), tmp_path / name)
    with pytest.raises(DataError, match="no point"):
        write_cloud(PointCloud(np.zeros((0, 3))), tmp_path / "a.ply")
