"""Grids of fields: places in the world, opacities by their formula, colours averaged, and boxes found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from radiance import cubes, tiny_scenes

from dense3d.datasets.posed_rgb import read_scene
from dense3d.errors import ConfigError, DataError
from dense3d.radiance.grids.boxes import checked_box, fit_box, grid_shape, scene_box
from dense3d.radiance.grids.cameras_file import read_boxes, write_boxes, write_cameras
from dense3d.radiance.grids.extraction import extract_radiance_grid, fixed_directions
from dense3d.radiance.grids.memory import require_room
from dense3d.radiance.grids.pictures import GridPicture, projections
from dense3d.radiance.grids.visibility import outside_silhouettes, seen_by
from dense3d.radiance.views import load_views
from dense3d.structures import PinholeCamera, PointCloud
from dense3d.structures.radiance_grid import RadianceGrid

BOX = np.array([[1.7, -3.4, 3.6], [4.5, -0.9, 6.1]])
CUBE = np.stack([cubes.CENTRE - cubes.SIDE / 2, cubes.CENTRE + cubes.SIDE / 2])
VIEWS = cubes.cube_views()


@pytest.mark.parametrize("kind", ["relu", "raw_exp"])
def test_a_cube_is_where_it_is_with_the_opacity_of_its_extinction(kind, tmp_path):
    grid, _ = extract_radiance_grid(cubes.CubeField(2.0, kind), BOX, 29, VIEWS, delta=0.3)
    assert grid.resolution == (30, 26, 26) and grid.density_kind == kind
    voxel = (BOX[1] - BOX[0]) / (np.array(grid.resolution) - 1)
    assert (np.abs(cubes.bounds(grid) - CUBE) <= voxel).all()
    alpha = grid.to_alpha()
    assert alpha.density.max() == pytest.approx(1 - np.exp(-2.0 * 0.3), rel=1e-5)
    assert ((alpha.density == 0) | (alpha.density > 0.4)).all()
    grid.save(tmp_path / "grid.npz")
    read = RadianceGrid.load(tmp_path / "grid.npz")
    assert (read.density_kind, read.delta) == (kind, 0.3)
    with pytest.raises(DataError, match="holds opacity already"):
        read.to_alpha().to_alpha()


def test_colours_are_means_over_the_cameras_or_those_that_see_a_point():
    field = cubes.CubeField()
    for directions in ("cameras", "fixed"):
        grid, _ = extract_radiance_grid(field, BOX, 12, VIEWS, directions=directions)
        looks = np.array([view.camera.rotation[:, 2] for view in VIEWS])
        mean = (looks if directions == "cameras" else fixed_directions())[:, 0].mean()
        solid = grid.density > 0
        np.testing.assert_allclose(grid.rgb[solid][:, 0], 0.5 + 0.5 * mean, atol=1e-6)
        assert (grid.rgb[~solid] == 0).all()
    aside = PinholeCamera.look_at(
        cubes.CENTRE + np.array([0, 9, 0]), cubes.CENTRE + np.array([5, 9, 0]), 8, 8, fov=0.5
    )
    views = [*VIEWS, replace(VIEWS[0], camera=aside, alpha=None, image=VIEWS[0].image[:8, :8])]
    both = [extract_radiance_grid(field, BOX, 12, views, directions=d)[0] for d in ("frustum", "cameras")]
    seen, everything = (grid.rgb[grid.density > 0][:, 0].mean() for grid in both)
    assert seen == pytest.approx(0.5, abs=0.02) and everything - seen > 0.03  # it looks along x, at nothing


def test_what_nobody_sees_and_what_is_seen_through_is_empty():
    class Fog(cubes.CubeField):
        def density(self, points):
            return torch.ones(len(points)).double()

    around = np.stack([cubes.CENTRE - 1.1, cubes.CENTRE + 1.1])  # what all photographs see
    grid, cleaned = extract_radiance_grid(Fog(), around, 30, VIEWS)
    kept = np.argwhere(grid.density > 0) / 29 * 2.2 + around[0]
    assert cleaned.unseen == 0 and cleaned.see_through > 0.3 * 30**3
    assert np.abs(np.stack([kept.min(axis=0), kept.max(axis=0)]) - CUBE).max() < 0.35  # their hull
    wide = np.array([[-9.0, -14, -7], [15, 10, 17]])
    opaque = [replace(view, alpha=None) for view in VIEWS]
    grid, cleaned = extract_radiance_grid(Fog(), wide, 8, opaque)
    assert cleaned.unseen == (grid.density == 0).sum() > 0 and cleaned.see_through == 0
    everything, cleaned = extract_radiance_grid(Fog(), wide, 8, opaque, min_views=0)
    assert (everything.density == 1).all() and cleaned.unseen == 0
    behind = VIEWS[0].camera.position - 3 * VIEWS[0].camera.rotation[:, 2]
    assert seen_by(behind[None], VIEWS[:1]).tolist() == [0]
    assert seen_by(cubes.CENTRE[None], VIEWS, near=3.0).tolist() == [len(VIEWS)]
    assert seen_by(cubes.CENTRE[None], VIEWS, near=9.0).tolist() == [0]
    assert outside_silhouettes(np.stack([cubes.CENTRE, CUBE[1] + 0.3]), VIEWS).tolist()[0] == 0


@pytest.mark.parametrize("layout", ["transforms", "opencv", "blender", "colmap"])
def test_the_hull_of_a_cube_is_found_through_every_reader(layout: str, tmp_path: Path):
    write(layout, tmp_path)
    scene = read_scene(tmp_path, axes="opencv" if layout == "opencv" else "opengl")
    box, kind = scene_box(load_views(scene), points=scene.points)
    assert kind == "object"
    hull_voxel = 2.2 * cubes.SIDE / 63
    assert (np.abs(box - CUBE) < 0.3 + 3 * hull_voxel).all()  # a hull of twelve views is larger than the cube
    assert (box[0] <= CUBE[0]).all() and (box[1] >= CUBE[1]).all()


def write(layout: str, root: Path) -> None:
    """The cube's photographs in a layout."""
    cubes.write_pictures(root / "images", VIEWS)
    turn = np.eye(4) if layout == "opencv" else tiny_scenes.OPENGL
    camera = VIEWS[0].camera
    frames = [
        {"file_path": f"images/{v.name}", "transform_matrix": (v.camera.camera_to_world @ turn).tolist()}
        for v in VIEWS
    ]
    fx, fy = camera.intrinsics[0, 0], camera.intrinsics[1, 1]
    if layout == "blender":
        angle = 2 * np.arctan(camera.width / 2 / fx)
        for frame in frames:
            frame["file_path"] = frame["file_path"].removesuffix(".png")
        (root / "transforms_train.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    elif layout == "colmap":
        (root / "sparse/0").mkdir(parents=True)
        line = f"1 PINHOLE {camera.width} {camera.height} {fx} {fy} {camera.width / 2} {camera.height / 2}\n"
        (root / "sparse/0/cameras.txt").write_text(line)
        lines = []
        for number, view in enumerate(VIEWS):
            from scipy.spatial.transform import Rotation

            pose = view.camera.world_to_camera
            x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
            words = [number + 1, w, x, y, z, *pose[:3, 3], 1, view.name]
            lines.append(" ".join(map(str, words)) + "\n\n")
        (root / "sparse/0/images.txt").write_text("".join(lines))
        (root / "sparse/0/points3D.txt").write_text("")
    else:
        sides = {"w": camera.width, "h": camera.height, "fl_x": fx, "fl_y": fy}
        (root / "transforms.json").write_text(json.dumps({**sides, "frames": frames}))


def test_boxes_come_from_points_sight_or_cameras():
    views = [replace(view, alpha=None) for view in VIEWS]
    places = np.array([view.camera.position for view in views])
    box, kind = scene_box(views)
    assert kind == "sight" and np.abs(box.mean(axis=0) - cubes.CENTRE).max() < 0.05
    extent = np.ptp(places, axis=0)
    box, _ = scene_box(views, "cameras")
    np.testing.assert_allclose(box, [places.min(0) - 0.1 * extent, places.max(0) + 0.1 * extent])
    cloud = PointCloud(np.random.default_rng(0).uniform(CUBE[0], CUBE[1], (4000, 3)))
    box, kind = scene_box(views, points=cloud)
    assert kind == "points" and np.abs(box - CUBE).max() < 0.05
    assert (fit_box(box, views, 0.5)[0] < places.min(axis=0)).all() and fit_box(box, views, 0.0) is box
    with pytest.raises(DataError, match="'object' needs alpha channels or masks"):
        scene_box(views, "object")
    with pytest.raises(ConfigError, match="box='cube' is none of auto, object"):
        scene_box(views, "cube")
    with pytest.raises(DataError, match="all cameras are at one place"):
        turned = [
            replace(v, camera=replace(v.camera, camera_to_world=np.diag([1.0, 1, 1, 1]))) for v in views
        ]
        scene_box(turned)


@pytest.mark.parametrize(
    ("box", "error", "told"),
    [
        ((0, 0, 0, 1, 1), ConfigError, "six finite numbers"),
        ((0, 0, 0, 1, np.nan, 1), ConfigError, "six finite numbers"),
        ((0, 0, 0, 1, 1, 0), ConfigError, "low corner"),
        ((0, 0, 500, 1, 1, 501), DataError, "no photograph sees any of it"),
    ],
)
def test_boxes_that_cannot_be_are_named(box, error, told):
    with pytest.raises(error, match=told):
        checked_box(box, VIEWS)
    assert grid_shape(np.array([[0, 0, 0], [1, 0.001, 0.5]]), 9) == (10, 2, 4)


def test_a_grid_that_does_not_fit_into_memory_is_refused_with_what_would(monkeypatch):
    monkeypatch.setattr("dense3d.radiance.grids.memory.available_bytes", lambda: 10**9)
    box = np.array([[0, 0, 0], [1.0, 1, 1]])
    assert require_room(box, 160, box, 160) == 160**3 * 96
    with pytest.raises(
        ConfigError, match=r"512 x 512 x 512 voxels .*GiB.*: take --resolution 200 and --fit-res"
    ):
        require_room(box, 512, box, 512)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_fields_that_are_not_finite_are_refused(value):
    with pytest.raises(DataError, match="densities that are NaN or infinite"):
        extract_radiance_grid(cubes.CubeField(value), BOX, 8, VIEWS)


@pytest.mark.parametrize("options", [dict(delta=0.0), dict(directions="all"), dict(min_views=99)])
def test_wrong_options_are_named(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        extract_radiance_grid(cubes.CubeField(), BOX, 8, VIEWS, **options)


def test_pictures_of_a_grid_show_the_cube_upright():
    """Red below and green above, seen by a camera and along the axes; density of either kind."""
    values = np.zeros((16, 16, 16, 4), np.float32)
    values[4:12, 4:12, 4:8] = (1, 0, 0, 50)
    values[4:12, 4:12, 8:12] = (0, 1, 0, 50)
    grid = RadianceGrid(values, BOX[0], BOX[0] + 2.5, density_kind="relu", delta=0.1)
    for kind in (grid, grid.to_alpha()):
        picture = GridPicture(kind)
        for axis in (0, 1):
            panel = picture.along(axis, 2, pixels=32)
            assert panel[12, 16].tolist() == [0, 255, 0] and panel[20, 16].tolist() == [255, 0, 0]
            assert panel[2, 2].tolist() == [89, 89, 89]
        assert picture.along(2, 1, pixels=32)[16, 16].tolist() == [0, 255, 0]
        middle = BOX[0] + 1.25
        camera = PinholeCamera.look_at(middle + np.array([6, 0, 0]), middle, 33, 33, fov=0.5)
        image = picture(replace(VIEWS[0], camera=camera, alpha=None), torch.zeros(3))
        np.testing.assert_allclose(image[[12, 20], 16], [[0, 1, 0], [1, 0, 0]], atol=2e-3)
    assert projections(picture).shape[2] == 3


def test_cameras_and_boxes_are_in_the_world(tmp_path: Path):
    grid, _ = extract_radiance_grid(cubes.CubeField(), BOX, 16, VIEWS)
    cubes.write_pictures(tmp_path, VIEWS)
    write_cameras(VIEWS, tmp_path / "cameras.json")
    for frame, view in zip(read_scene(tmp_path / "cameras.json").frames, VIEWS):
        np.testing.assert_allclose(frame.camera.camera_to_world, view.camera.camera_to_world, atol=1e-9)
        np.testing.assert_allclose(frame.camera.intrinsics, view.camera.intrinsics, atol=1e-9)
    world = np.array([[*cubes.CENTRE, 1.5, 1.5, 1.5, 0.3], [90.0, 0, 0, 1, 1, 1, 0]])
    np.save(tmp_path / "world.npy", world)
    assert write_boxes(read_boxes(tmp_path / "world.npy"), grid, tmp_path / "boxes.npy") == 1
    written = np.load(tmp_path / "boxes.npy")
    np.testing.assert_allclose(grid.voxel_to_world(written[:, :3]), world[:, :3])
    np.testing.assert_allclose(grid.boxes_to_world(written), world, rtol=1e-3)  # voxels are no exact cubes


@pytest.mark.parametrize(
    ("boxes", "told"),
    [
        (np.zeros((2, 5)), r"boxes are \(N, 6\)"),
        (np.full((2, 7), np.nan), "2 boxes are not finite"),
        (np.array([[0, 0, 0, 1, 1, 1.0], [0, 0, 0, -1, 1, 1]]), "box 1 has a size"),
        (np.array(["a"]), "cannot be read|boxes are"),
        (np.array([[0, 0, 0, 1, 1, 1, 45.0]]), "yaws are radians"),
    ],
)
def test_faults_of_boxes_are_named(boxes, told, tmp_path: Path):
    np.save(tmp_path / "b.npy", boxes)
    with pytest.raises(DataError, match=told):
        read_boxes(tmp_path / "b.npy")
    for content in (b"\x93NUMPY", b"PK\x03\x04 cut"):
        (tmp_path / "b.npy").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            read_boxes(tmp_path / "b.npy")
    np.savez(tmp_path / "b.npz", boxes=boxes)
    with pytest.raises(DataError, match="is an archive of arrays"):
        read_boxes(tmp_path / "b.npz")
