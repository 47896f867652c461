"""Grids with photographs of the same rooms: one world for grid, boxes and cameras."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from dense3d.cli.dispatch import main
from dense3d.datasets.posed_rgb.layouts import read_scene
from dense3d.datasets.scene_views.view import points_of_view, read_view
from dense3d.datasets.synthetic.grids import POINTS, make_grids
from dense3d.datasets.synthetic.rooms import CLASSES, make_furnished_room
from dense3d.datasets.synthetic.rooms.classes import ON_WALLS
from dense3d.errors import ConfigError, DataError
from dense3d.structures import RadianceGrid

SIZE = 48
STUFF = ("floor", "wall")
SMALL = (45, 60)  # rows and columns that photographs are looked at in


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    root = tmp_path_factory.mktemp("twins") / "data"
    words = ["make-synthetic", "grids", str(root), "--train", "2", "--val", "0", "--size", str(SIZE)]
    assert main([*words, "--views", "4"]) == 0
    return root


def scene(root, name="train_0000"):
    grid = RadianceGrid.load(root / "features" / f"{name}.npz")
    frames = read_scene(root / "views" / name).frames
    return grid, [read_view(frame, SMALL) for frame in frames], np.load(root / "obb" / f"{name}.npy")


def away_from_boxes(points, boxes):
    """(N, K) how far outside of each box a point lies, at most 0 inside."""
    local = points[:, None] - boxes[:, :3]
    cosine, sine = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    along = local[..., 0] * cosine + local[..., 1] * sine
    across = local[..., 1] * cosine - local[..., 0] * sine
    return (np.abs(np.stack([along, across, local[..., 2]], -1)) - boxes[:, 3:6] / 2).max(-1)


def entered(grid, view, turn=1.0):
    """Differences, in voxels, between depth maps and where rays first enter an occupied voxel.

    Of pixels that do not graze their surface: a ray that does is in its voxels long before.
    """
    rows, columns = np.indices(view.depth.shape)
    pixels = np.stack([columns, rows], -1).reshape(-1, 2).astype(np.float64)
    points = view.camera.unproject(pixels, view.depth.reshape(-1).astype(np.float64))
    rays = (points - view.camera.position).reshape(*rows.shape, 3)[:-1, :-1]
    points = points.reshape(*rows.shape, 3)
    normals = np.cross(np.diff(points, axis=0)[:, :-1], np.diff(points, axis=1)[:-1])
    sizes = np.linalg.norm(normals, axis=-1) * np.linalg.norm(rays, axis=-1)
    is_met = (view.depth[:-1, :-1] > 0) & (np.abs((normals * rays).sum(-1)) > 0.5 * sizes)
    position, rays = view.camera.position * (turn, 1, 1), rays[is_met] * (turn, 1, 1)
    length = np.linalg.norm(rays, axis=1)
    voxel = float(grid.voxel_size.max())
    steps = np.arange(0, 1.8 * SIZE, 0.25)  # voxels along the ray
    samples = position + (rays / length[:, None])[:, None] * (steps * voxel)[:, None]
    index = np.floor(grid.world_to_voxel(samples)).astype(int)
    inside = ((index >= 0) & (index < grid.resolution)).all(-1)
    x, y, z = np.where(inside[..., None], index, 0).reshape(-1, 3).T
    hit = grid.occupied[x, y, z].reshape(inside.shape) & inside
    first = np.where(hit.any(1), steps[hit.argmax(1)], np.inf)
    return np.abs(first - length / voxel)


@pytest.mark.parametrize("name", ["train_0000", "train_0001"])
def test_rays_enter_the_grid_at_the_depth_of_the_photograph(twins, name) -> None:
    grid, views, _ = scene(twins, name)
    away = [entered(grid, view) for view in views]
    close = [(each <= 2).mean() for each in away]
    mirrored = [(entered(grid, view, turn=-1.0) <= 2).mean() for view in views]
    assert min(close) > 0.8 and max(np.median(each) for each in away) < 1
    assert np.mean(mirrored) < np.mean(close) - 0.15


def test_photographs_have_the_colours_of_the_grid(twins) -> None:
    grid, views, _ = scene(twins)
    for view in views:
        points, colors = points_of_view(view)
        index = np.clip(np.floor(grid.world_to_voxel(points)).astype(int), 0, np.array(grid.resolution) - 1)
        found = grid.rgb[tuple(index.T)]
        assert grid.occupied[tuple(index.T)].mean() > 0.95
        assert np.median(np.abs(found - colors)) < 0.05


def test_boxes_contain_the_surfaces_of_their_things(twins) -> None:
    grid, _, boxes = scene(twins)
    world = grid.boxes_to_world(boxes)
    rng = np.random.default_rng([0, zlib.crc32(b"train"), 0])
    room, surfaces = make_furnished_room(rng, POINTS * SIZE**2)
    standing = [i for i, label in enumerate(room.box_labels) if CLASSES[label] not in ON_WALLS]
    things = [item for item in surfaces.room.items if CLASSES[item.label] not in (*STUFF, *ON_WALLS)]
    assert len(world) == len(standing) == len(things) > 2
    for row, thing, number in zip(world, things, standing):
        corners = np.concatenate([mesh.vertices for mesh in thing.meshes])
        assert away_from_boxes(corners, row[None]).max() < 1e-4
        noisy = away_from_boxes(room.points[room.instances == number], row[None])
        assert noisy.max() < 0.04  # metres: the noise of clouds


def test_what_photographs_show_of_things_lies_in_their_boxes(twins) -> None:
    """By the files alone: depth maps, classes of voxels, boxes."""
    grid, views, boxes = scene(twins)
    labels = np.load(twins / "semantics" / "train_0000.npy")
    names = np.array(["void", *CLASSES])
    points = np.concatenate([points_of_view(view)[0] for view in views])
    index = np.clip(np.floor(grid.world_to_voxel(points)).astype(int), 0, np.array(grid.resolution) - 1)
    seen = names[labels[tuple(index.T)]]
    shown = points[~np.isin(seen, ["void", *STUFF, *ON_WALLS])]
    assert len(shown) > 300
    away = away_from_boxes(shown, grid.boxes_to_world(boxes)).min(1)
    assert (away < grid.voxel_size.max()).mean() > 0.95
    assert np.load(twins / "views" / "train_0000" / "boxes.npy") == pytest.approx(
        grid.boxes_to_world(boxes), abs=1e-6
    )


def test_a_second_call_changes_nothing(twins, capsys) -> None:
    before = {path: path.read_bytes() for path in twins.rglob("*") if path.is_file()}
    words = ["make-synthetic", "grids", str(twins), "--train", "2", "--val", "0", "--size", str(SIZE)]
    assert main([*words, "--views", "4"]) == 0 and "nothing to do" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in twins.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match="views is 4 instead of 5"):
        make_grids(twins, 2, 0, SIZE, views=5)


def test_without_views_files_are_what_they_were(twins, tmp_path) -> None:
    make_grids(tmp_path / "plain", 2, 0, SIZE)
    plain = sorted(path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.np*"))
    seen = sorted(path.relative_to(twins) for path in twins.rglob("*.np*"))
    assert plain == [path for path in seen if path.parts[0] != "views"]
    for path in plain:
        assert (twins / path).read_bytes() == (tmp_path / "plain" / path).read_bytes(), path
    recipe = json.loads((tmp_path / "plain" / "synthetic.json").read_text())["recipe"]
    assert list(recipe) == ["layouts", "train", "val", "size", "seed", "finer", "generator_version"]
    assert not (tmp_path / "plain" / "views").exists()


def test_the_layout_is_that_of_sequences(twins, capsys) -> None:
    document = json.loads((twins / "views" / "train_0001" / "transforms.json").read_text())
    assert (document["w"], document["h"], len(document["frames"])) == (240, 180, 4)
    assert document["val_filenames"] == ["images/0003.png"] and len(document["train_filenames"]) == 3
    with pytest.raises(ConfigError, match="views=-1"):
        make_grids(twins.parent / "none", 1, 0, 16, views=-1)
    assert main(["make-synthetic", "coco", str(twins.parent / "none"), "--views", "2"]) == 2
    assert "--views is of rooms and grids" in capsys.readouterr().err
