"""Radiance grids: density to opacity, places in the world, files, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from dense3d.errors import DataError
from dense3d.structures import Boxes3D, RadianceGrid
from dense3d.structures.radiance_grid import alpha_of
from dense3d.structures.radiance_grid_files import grid_shape, read_grid, write_grid


def grid_of(shape=(4, 6, 2), kind="raw_exp", seed=0, **kwargs) -> RadianceGrid:
    values = np.random.default_rng(seed).random((*shape, 4), np.float32)
    return RadianceGrid(values, density_kind=kind, **kwargs)


def test_opacity_is_what_a_step_absorbs() -> None:
    sigma, delta = 30.0, 0.02
    expected = 1 - np.exp(-sigma * delta)
    assert alpha_of(np.log(sigma), "raw_exp", delta) == pytest.approx(expected, rel=1e-6)
    assert alpha_of(np.array([sigma, -5.0]), "relu", delta) == pytest.approx([expected, 0], rel=1e-6)
    assert alpha_of(np.array([-10000.0, 500.0]), "raw_exp").tolist() == [0, 1]


def test_a_second_conversion_is_refused() -> None:
    converted = grid_of().to_alpha()
    assert converted.is_alpha and converted.as_alpha() is converted
    with pytest.raises(DataError, match="opacity already"):
        converted.to_alpha()


def test_networks_take_opacity_alone() -> None:
    grid = grid_of()
    with pytest.raises(DataError, match="call to_alpha"):
        grid.to_tensor()
    tensor = grid.to_alpha().to_tensor()
    assert tensor.shape == (4, 4, 6, 2)
    assert tensor[:3].numpy() == pytest.approx(np.moveaxis(grid.rgb, 3, 0))


def test_eight_bits_stand_for_the_unit_interval() -> None:
    grid = grid_of(kind="alpha").to_uint8()
    assert grid.rgbsigma.dtype == np.uint8
    assert (
        np.abs(grid.to_tensor().numpy() - grid_of(kind="alpha").to_tensor().numpy()).max() <= 0.5 / 255 + 1e-6
    )


def test_corners_of_the_grid_are_corners_of_the_box() -> None:
    grid = grid_of(bbox_min=[-1, 0, 2], bbox_max=[3, 6, 3])
    assert grid.voxel_to_world([[0, 0, 0], [4, 6, 2]]).tolist() == [[-1, 0, 2], [3, 6, 3]]
    assert grid.world_to_voxel(grid.voxel_to_world([[1.5, 2, 0.25]])).tolist() == [[1.5, 2, 0.25]]
    positions = grid.sample_positions()
    assert positions[0, 0, 0].tolist() == [-1, 0, 2] and positions[-1, -1, -1].tolist() == [3, 6, 3]


def test_boxes_of_the_world_and_back() -> None:
    grid = grid_of((8, 8, 4), bbox_min=[-2, -2, 0], bbox_max=[2, 2, 2])  # cubes of half a unit
    boxes = np.array([[4, 2, 1, 3, 2, 2, 0.6]])
    world = grid.boxes_to_world(boxes)
    assert world == pytest.approx(np.array([[0, -1, 0.5, 1.5, 1, 1, 0.6]]))
    assert grid.boxes_to_voxel(world) == pytest.approx(boxes)
    assert grid.boxes_to_world([[0, 0, 0, 8, 8, 4]]).tolist() == [[-2, -2, 0, 2, 2, 2]]


def test_a_box_along_an_axis_keeps_its_corners_in_voxels_that_are_no_cubes() -> None:
    import torch

    grid = grid_of((8, 4, 4), bbox_min=[0, 0, 0], bbox_max=[8, 8, 2])
    boxes = np.array([[4, 2, 2, 2, 4, 1, np.pi / 2]])  # its length lies along y
    world = grid.boxes_to_world(boxes)
    corners = [Boxes3D(torch.from_numpy(b), "world").corners()[0].numpy() for b in (boxes, world)]
    assert corners[1] == pytest.approx(grid.voxel_to_world(corners[0]))


@pytest.mark.parametrize("kind", ["raw_exp", "alpha"])
def test_files_hold_all_of_a_grid(tmp_path, kind) -> None:
    grid = grid_of(
        kind=kind, bbox_min=[-1, 0, 2], bbox_max=[3, 6, 3], delta=0.03, scale=2.0, offset=[1, 2, 3]
    )
    grid.save(tmp_path / "room.npz")
    found = RadianceGrid.load(tmp_path / "room.npz")
    assert (found.rgbsigma == grid.rgbsigma).all() and found.density_kind == kind
    for name in ("bbox_min", "bbox_max", "offset", "scale", "delta", "from_mitsuba"):
        assert np.all(getattr(found, name) == getattr(grid, name)), name
    assert grid_shape(tmp_path / "room.npz") == (4, 6, 2, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["room.npz"]


def test_released_files_need_to_be_told_their_kind(tmp_path) -> None:
    file = tmp_path / "scene.npz"
    np.savez(file, rgbsigma=np.zeros((2, 2, 2, 4), np.float32), resolution=np.array([2, 2, 2]))
    with pytest.raises(DataError, match=r"scene.npz does not say what its density is: give density_kind"):
        read_grid(file)
    assert read_grid(file, "relu").density_kind == "relu"


def test_what_a_file_says_of_itself_holds(tmp_path) -> None:
    grid_of(kind="alpha").save(tmp_path / "a.npz")
    with pytest.raises(DataError, match="says density_kind='alpha', but 'raw_exp'"):
        read_grid(tmp_path / "a.npz", "raw_exp")


def test_too_large_a_grid_is_refused_before_it_is_read(tmp_path) -> None:
    grid_of((8, 8, 8)).save(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"8 x 8 x 8 voxels.*longest side of at most"):
        read_grid(tmp_path / "a.npz", most_bytes=1000)


def test_an_empty_grid_is_told() -> None:
    with pytest.raises(DataError, match="there is nothing in the grid"):
        RadianceGrid(np.zeros((2, 2, 2, 4), np.float32)).require_occupied()
    assert grid_of(kind="alpha").require_occupied().occupied.any()


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (np.zeros((2, 2, 2, 3), np.float32), "alpha", "red, green, blue and density"),
        (np.zeros((2, 0, 2, 4), np.float32), "alpha", "no voxels"),
        (np.full((2, 2, 2, 4), np.nan, np.float32), "relu", "8 of 8 voxels are NaN"),
        (np.full((2, 2, 2, 4), 7, np.float32), "alpha", "opacity lies in"),
        (np.zeros((2, 2, 2, 4), np.float32), "sigma", "use one of raw_exp, relu, alpha"),
        (np.zeros((2, 2, 2, 4), np.uint8), "relu", "8 bits holds opacity"),
        (np.zeros((2, 2, 2, 4), np.int32), "relu", "uint8 or floating"),
    ],
)
def test_what_is_no_grid_is_refused(values, kind, message) -> None:
    with pytest.raises(DataError, match=message):
        RadianceGrid(values, density_kind=kind)


@pytest.mark.parametrize(
    "members",
    [
        dict(rgbsigma=np.array([{}], object)),
        dict(rgbsigma=np.zeros((2, 2, 2, 4), [("r", "f4")])),
        dict(rgbsigma=np.zeros((2, 2, 2, 4), complex)),
        dict(rgbsigma=np.zeros((2, 2, 2, 4), bool)),
        dict(rgbsigma=np.float32(1)),
        dict(density_kind=np.array(["alpha", "relu"])),
        dict(density_kind=np.array(3)),
        dict(delta=np.array("thin")),
        dict(delta=np.array(np.inf)),
        dict(bbox_min=np.array("low")),
        dict(bbox_max=np.array([1.0, np.nan, 1])),
        dict(bbox_max=np.zeros(3)),
        dict(resolution=np.array(["2", "two", "2"])),
    ],
)
def test_odd_members_of_files_are_named(tmp_path, members) -> None:
    values = dict(rgbsigma=np.zeros((2, 2, 2, 4), np.float32), density_kind=np.array("alpha"))
    np.savez(tmp_path / "odd.npz", **{**values, **members})
    with pytest.raises(DataError, match=r"odd\.npz"):
        read_grid(tmp_path / "odd.npz")


def test_files_of_another_kind_are_named(tmp_path) -> None:
    with (tmp_path / "odd.npz").open("wb") as file:
        np.save(file, np.zeros((2, 2, 2, 4), np.float32))  # an array without an archive
    for read in (read_grid, grid_shape):
        with pytest.raises(DataError, match=r"odd\.npz cannot be read as a radiance grid"):
            read(tmp_path / "odd.npz")
    with pytest.raises(DataError, match="cannot be read as a radiance grid"):
        read_grid(tmp_path)


def test_broken_files_are_named(tmp_path) -> None:
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut")
    np.savez(tmp_path / "other.npz", sdf=np.zeros(3))
    np.savez(tmp_path / "wrong.npz", rgbsigma=np.zeros((2, 2, 2, 4), np.float32), resolution=[3, 2, 2])
    values = np.zeros((2, 2, 2, 4), np.float32)
    np.savez(tmp_path / "scales.npz", rgbsigma=values, scale=[1.0, 2.0])
    np.savez(tmp_path / "steps.npz", rgbsigma=values, delta=[0.1, 0.2])
    for name, message in [
        ("scales", "something else than a grid's box and scale"),
        ("steps", "delta is one value"),
        ("cut", "cannot be read as a radiance grid"),
        ("other", "holds no array 'rgbsigma'"),
        ("none", "there is no radiance grid"),
        ("wrong", "does not fit its"),
    ]:
        with pytest.raises(DataError, match=message):
            read_grid(tmp_path / f"{name}.npz", "relu")
    with pytest.raises(DataError, match=r"ends in .npz"):
        write_grid(grid_of(), tmp_path / "grid.npy")
    with pytest.raises(DataError, match="bbox_max"):
        grid_of(bbox_min=[0, 0, 0], bbox_max=[1, 0, 1])
