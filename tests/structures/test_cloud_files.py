"""Clouds in files: what is written comes back, and other programs' files are read as they are meant."""

import numpy as np
import pytest

from dense3d.errors import ConfigError, DataError
from dense3d.structures import PointCloud, read_cloud, write_cloud


def _cloud(count=40, seed=0):
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(count, 3))
    return PointCloud(
        rng.normal(size=(count, 3)),
        colors=rng.integers(0, 256, (count, 3)) / 255,
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        labels=rng.integers(0, 20, count),
        intensity=rng.random(count),
    )


@pytest.mark.parametrize("suffix", ["ply", "pcd", "xyz", "txt", "asc", "csv", "npz", "h5"])
@pytest.mark.parametrize("count", [40, 1])
def test_a_cloud_comes_back_with_all_that_is_known(tmp_path, suffix, count):
    cloud = _cloud(count)
    back = read_cloud(write_cloud(cloud, tmp_path / "deep" / f"a.{suffix}"), color_max=None)
    for name, values in {"points": cloud.points, **cloud.attributes}.items():
        np.testing.assert_allclose(getattr(back, name), values, atol=2e-6, err_msg=name)
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == [f"a.{suffix}"]


@pytest.mark.parametrize("suffix", ["ply", "xyz", "csv", "npy", "npz", "h5", "bin", "pcd"])
def test_bare_points_come_back_exactly(tmp_path, suffix):
    cloud = PointCloud(np.random.default_rng(1).normal(size=(500, 3)))
    back = read_cloud(write_cloud(cloud, tmp_path / f"a.{suffix}"), "x y z" if suffix == "bin" else None)
    np.testing.assert_allclose(back.points, cloud.points, atol=1e-6)
    assert not back.attributes


@pytest.mark.parametrize("suffix", ["las", "laz"])
def test_las_comes_back_to_the_millimetre(tmp_path, suffix):
    pytest.importorskip("laspy")
    pytest.importorskip("lazrs")
    cloud = PointCloud(_cloud().points, **{k: v for k, v in _cloud().attributes.items() if k != "normals"})
    back = read_cloud(write_cloud(cloud, tmp_path / f"a.{suffix}"))
    np.testing.assert_allclose(back.points, cloud.points, atol=6e-4)
    np.testing.assert_allclose(back.colors, cloud.colors, atol=1e-4)
    np.testing.assert_array_equal(back.labels, cloud.labels)
    np.testing.assert_allclose(back.intensity / 65535, cloud.intensity, atol=1e-4)


def test_e57_scans_are_read(tmp_path):
    pye57 = pytest.importorskip("pye57")
    points, file = _cloud().points.astype(np.float64), pye57.E57(str(tmp_path / "a.e57"), mode="w")
    file.write_scan_raw({f"cartesian{axis}": points[:, i].copy() for i, axis in enumerate("XYZ")})
    file.close()
    np.testing.assert_allclose(read_cloud(tmp_path / "a.e57").points, points, atol=1e-5)


def test_e57_scans_are_joined_in_their_common_frame(tmp_path):
    """The second one stands turned by a quarter and elsewhere; colours are left out unless all have them."""
    pye57 = pytest.importorskip("pye57")
    points = _cloud().points.astype(np.float64)
    scan = {f"cartesian{axis}": points[:, i].copy() for i, axis in enumerate("XYZ")}
    colours = {f"color{name}": np.full(len(points), 51, np.uint8) for name in ("Red", "Green", "Blue")}
    moved = dict(rotation=np.array([0.5, 0, 0, 0.5]) * 2**0.5, translation=np.array([10.0, 20, 30]))
    for name, second in (("both", scan | colours), ("one", scan)):
        file = pye57.E57(str(tmp_path / f"{name}.e57"), mode="w")
        file.write_scan_raw(scan | colours)
        file.write_scan_raw(second, **moved)
        file.close()
        cloud = read_cloud(tmp_path / f"{name}.e57")
        x, y, z = points.T
        turned = np.stack([10 - y, 20 + x, 30 + z], axis=1)
        np.testing.assert_allclose(cloud.points, np.concatenate([points, turned]), atol=1e-5)
        assert (cloud.colors is None) == (name == "one")


def test_a_missing_reader_is_named_with_its_extra(tmp_path, monkeypatch):
    import sys

    from dense3d.errors import MissingDependencyError

    for package, suffix in (("laspy", "las"), ("pye57", "e57"), ("h5py", "h5")):
        monkeypatch.setitem(sys.modules, package, None)
        (tmp_path / f"a.{suffix}").write_bytes(b"x" * 400)
        with pytest.raises(
            MissingDependencyError, match=rf"'dense3d\[({'hdf5' if suffix == 'h5' else 'survey'})\]'"
        ):
            read_cloud(tmp_path / f"a.{suffix}")


def test_big_endian_and_text_ply_with_a_face_list_are_read(tmp_path):
    head = "ply\r\nformat {} 1.0\r\ncomment made by hand\r\nelement vertex 2\r\nproperty double x\r\n"
    head += "property double y\r\nproperty double z\r\nproperty uchar red\r\nproperty uchar green\r\n"
    head += "property uchar blue\r\nproperty ushort label\r\nelement face 1\r\n"
    head += "property list uchar int vertex_indices\r\nend_header\r\n"
    row = np.dtype([("p", ">f8", 3), ("c", "u1", 3), ("l", ">u2")])
    rows = np.array([((1, 2, 3), (255, 0, 51), 300), ((4, 5, 6), (0, 0, 0), 7)], dtype=row)
    (tmp_path / "big.ply").write_bytes(
        head.format("binary_big_endian").encode() + rows.tobytes() + b"\x03" + bytes(12)
    )
    (tmp_path / "text.ply").write_text(head.format("ascii") + "1 2 3 255 0 51 300\n4 5 6 0 0 0 7\n3 0 1 1\n")
    for name in ("big", "text"):
        cloud = read_cloud(tmp_path / f"{name}.ply")
        assert cloud.points.tolist() == [[1, 2, 3], [4, 5, 6]] and cloud.labels.tolist() == [300, 7]
        np.testing.assert_allclose(cloud.colors, [[1, 0, 0.2], [0, 0, 0]], atol=1e-7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x,y,z,label\n1,2,3,4\n", [4]),
        ("//X Y Z Classification\n1 2 3 4\n", [4]),
        ("# made by hand\n# x y z class\n1\t2\t3\t4\n\n", [4]),
        ("1\n1 2 3 9 9 9 4\n", [4]),
        ("1; 2; 3; 0.5; 0.5; 0.5; 4\n", [4]),
    ],
)
def test_headers_and_signs_between_numbers(tmp_path, text, expected):
    (tmp_path / "a.txt").write_text(text)
    cloud = read_cloud(tmp_path / "a.txt")
    assert cloud.points.tolist() == [[1, 2, 3]] and cloud.labels.tolist() == expected


def test_colours_of_both_ranges_are_told_apart_and_said(tmp_path, said):
    rng = np.random.default_rng(0)
    points, colors = rng.normal(size=(30, 3)), rng.random((30, 3)).round(3)
    np.savetxt(tmp_path / "unit.txt", np.hstack([points, colors]))
    np.savetxt(tmp_path / "byte.txt", np.hstack([points, np.rint(colors * 255)]))
    unit, byte = read_cloud(tmp_path / "unit.txt"), read_cloud(tmp_path / "byte.txt")
    np.testing.assert_allclose(unit.colors, byte.colors, atol=0.5 / 255 + 1e-6)
    assert any("unit.txt" in m and "0..1" in m for m in said)
    assert any("byte.txt" in m and "0..255" in m for m in said)
    with pytest.raises(DataError, match=r"none of the ranges 0\.\.1, 0\.\.255"):
        read_cloud(tmp_path / "unit.txt", color_max=0.5)


def test_rounding_makes_no_bytes_of_colours(tmp_path):
    colors = np.array([[1.0004, 0.5, -0.0004], [0, 0.25, 1]])
    np.savetxt(tmp_path / "a.txt", np.hstack([np.eye(3)[:2], colors]))
    np.testing.assert_allclose(read_cloud(tmp_path / "a.txt").colors, colors.clip(0, 1), atol=1e-6)
    np.savetxt(tmp_path / "b.txt", np.hstack([np.eye(3)[:2], 1.02 * colors]))
    with pytest.raises(DataError, match=r"too much for 0\.\.1 and too dark for 0\.\.255"):
        read_cloud(tmp_path / "b.txt")
    assert read_cloud(tmp_path / "b.txt", color_max=1.0205).colors.max() > 0.99


@pytest.mark.parametrize(("name", "intensity"), [("scanner.pts", "%d"), ("other.txt", "%.3f")])
def test_intensity_before_colours_is_told(tmp_path, said, name, intensity):
    rng = np.random.default_rng(0)
    points, strength = rng.normal(size=(30, 3)), rng.uniform(1, 255, 30).round(3)
    colors = rng.integers(0, 256, (30, 3))
    rows = np.column_stack([points, np.rint(strength) if intensity == "%d" else strength, colors])
    np.savetxt(tmp_path / name, rows, fmt=["%.6f"] * 3 + [intensity] + ["%d"] * 3, header="30", comments="")
    cloud = read_cloud(tmp_path / name)
    np.testing.assert_allclose(cloud.colors, colors / 255, atol=1e-6)
    np.testing.assert_allclose(cloud.intensity, rows[:, 3], atol=1e-3)
    assert cloud.labels is None and any("x y z intensity r g b" in message for message in said)


def test_what_is_0_everywhere_is_not_known(tmp_path, said):
    cloud = _cloud()
    black = PointCloud(cloud.points, colors=0 * cloud.colors, normals=0 * cloud.normals)
    assert not read_cloud(write_cloud(black, tmp_path / "a.ply")).attributes
    assert {word for word in ("colors", "normals") if any(f"all its {word} are 0" in m for m in said)} == {
        "colors",
        "normals",
    }
    assert not read_cloud(tmp_path / "a.ply", color_max=255).colors.any()


def test_properties_are_known_by_the_names_of_other_programs(tmp_path):
    names = ["x", "y", "z", "diffuse_red", "diffuse_green", "diffuse_blue", "scalar_Classification"]
    head = "".join(f"property {'uchar' if 'diff' in name else 'float'} {name}\n" for name in names)
    text = f"ply\nformat ascii 1.0\nelement vertex 1\n{head}end_header\n1 2 3 255 51 0 6\n"
    (tmp_path / "a.ply").write_text(text)
    cloud = read_cloud(tmp_path / "a.ply")
    np.testing.assert_allclose(cloud.colors, [[1, 0.2, 0]], atol=1e-7)
    assert cloud.labels.tolist() == [6]


def test_normals_and_colours_are_told_apart(tmp_path):
    cloud = _cloud(200)
    table = np.hstack([cloud.points, cloud.normals, cloud.colors])
    np.save(tmp_path / "a.npy", table[:, [0, 1, 2, 6, 7, 8, 3, 4, 5]])
    np.save(tmp_path / "b.npy", table)
    for name in "ab":
        back = read_cloud(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(back.normals, cloud.normals, atol=1e-6)
        np.testing.assert_allclose(back.colors, cloud.colors, atol=1e-6)


@pytest.mark.parametrize(("columns", "rest"), [(4, [0.3]), (5, [17.0, 31.0]), (6, [12.0, 200.0, 255.0])])
def test_flat_files_tell_their_columns(tmp_path, said, columns, rest):
    rng = np.random.default_rng(2)
    points = rng.normal(scale=20, size=(300, 3))
    more = np.stack([rng.random(300) if v < 1 else rng.integers(0, int(v) + 1, 300) for v in rest], axis=1)
    np.hstack([points, more]).astype("<f4").tofile(tmp_path / "a.bin")
    cloud = read_cloud(tmp_path / "a.bin")
    np.testing.assert_allclose(cloud.points, points, rtol=1e-6)
    assert (cloud.colors is not None) == (columns == 6) and (cloud.intensity is not None) == (columns < 6)
    assert any("a.bin" in message and "x y z" in message for message in said)


def test_flat_files_of_unknown_numbers_are_refused(tmp_path):
    np.random.default_rng(0).normal(size=(10, 7)).astype("<f4").tofile(tmp_path / "a.bin")
    with pytest.raises(DataError, match="name the columns"):
        read_cloud(tmp_path / "a.bin")
    with pytest.raises(DataError, match="no multiple of 16"):
        read_cloud(tmp_path / "a.bin", columns=4)
    assert len(read_cloud(tmp_path / "a.bin", columns="x y z - - - -")) == 10


def test_folders_of_arrays_and_files_of_many_clouds(tmp_path, said):
    h5py = pytest.importorskip("h5py")
    cloud, folder = _cloud(), tmp_path / "scene0000_00"
    folder.mkdir()
    arrays = dict(
        coord=cloud.points, color=np.rint(cloud.colors * 255).astype(np.uint8), normal=cloud.normals
    )
    for name, values in {**arrays, "segment20": cloud.labels, "segment200": cloud.labels + 50}.items():
        np.save(folder / f"{name}.npy", values)
    back = read_cloud(folder)
    np.testing.assert_allclose(back.colors, cloud.colors, atol=1e-6)
    np.testing.assert_array_equal(back.labels, cloud.labels)
    with h5py.File(tmp_path / "many.h5", "w") as file:
        file["data"], file["label"] = np.stack([cloud.points, cloud.points + 1]), np.arange(2)
    np.testing.assert_allclose(read_cloud(tmp_path / "many.h5", index=1).points, cloud.points + 1)
    assert len(read_cloud(tmp_path / "many.h5")) == 40 and any("holds 2 clouds" in m for m in said)
    with pytest.raises(DataError, match="none at index 2"):
        read_cloud(tmp_path / "many.h5", index=2)


def test_arguments_are_checked(tmp_path):
    write_cloud(_cloud(), tmp_path / "a.txt")
    for arguments, message in (
        (dict(columns="x y q"), "unknown column 'q'"),
        (dict(columns="x y r"), "x, y and z must be among them"),
        (dict(columns="x x y z"), "'x' stands twice"),
        (dict(up_axis="w"), "up_axis"),
        (dict(max_points=0), "max_points"),
        (dict(mesh_points=0), "mesh_points"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_cloud(tmp_path / "a.txt", **arguments)
    with pytest.raises(DataError, match="11 columns, but 3 are named"):
        read_cloud(tmp_path / "a.txt", columns="x y z")
