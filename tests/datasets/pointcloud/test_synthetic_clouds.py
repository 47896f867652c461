"""Synthetic shapes and rooms: all families, parts where they belong, boxes around their points."""

import json

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate

from dense3d.cli.dispatch import main
from dense3d.datasets.synthetic.clouds import make_clouds
from dense3d.datasets.synthetic.generate import ensure_dataset
from dense3d.datasets.synthetic.objects import BACKGROUND, FAMILIES, PART_NAMES, build_parts, make_object
from dense3d.datasets.synthetic.objects.families import FIRST_PART, NUM_PARTS
from dense3d.datasets.synthetic.rooms import CLASSES, make_room
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS, MODELS

PIPELINE = [
    dict(type="LoadPoints"),
    dict(type="SamplePoints", count=64),
    dict(type="NormalizePoints"),
    dict(type="PackPointInputs", features=["normals"]),
]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "shapes"
    assert make_clouds(root, "shapes", train=2 * len(FAMILIES), val=len(FAMILIES), points=128)
    return root


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "rooms"
    ensure_dataset(root, layouts=("rooms",), train=2, val=1, points=4000)
    return root


def test_there_are_many_families():
    assert len(FAMILIES) >= 16 and set(PART_NAMES) == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_of_a_family_is_built_and_sampled(family):
    seen, sizes = set(), []
    for seed in range(8):
        cloud = make_object(family, np.random.default_rng(seed), 256)
        seen |= set(cloud.parts.tolist())
        sizes.append(np.ptp(cloud.points, axis=0))
        assert cloud.points.shape == (256, 3) and np.isfinite(cloud.points).all()
        np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, atol=1e-3)
    first = FIRST_PART[family]
    assert seen == set(range(first, first + len(PART_NAMES[family])))
    sizes = np.array(sizes)  # a wide range: no two are alike, and shapes, not only sizes, differ
    ratios = sizes / sizes.max(axis=1, keepdims=True)
    assert ratios.std(axis=0).max() > 0.03


def test_closed_parts_have_their_triangles_outside_out():
    for family in ("car", "table", "rocket", "tree"):
        for mesh in build_parts(family, np.random.default_rng(0)).values():
            corners = mesh.vertices[mesh.triangles]
            volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
            assert volume > 0, family


def test_a_scan_sees_one_side_with_noise_and_background():
    clean = make_object("car", np.random.default_rng(1), 2048)
    scan = make_object("car", np.random.default_rng(1), 2048, scan=True)
    background = scan.parts == BACKGROUND
    assert 0.02 < background.mean() < 0.4 and not (clean.parts == BACKGROUND).any()
    # of a closed body seen from one place, normals that look away are rare
    seen = scan.normals[~background].mean(axis=0)
    assert np.linalg.norm(seen) > 2 * np.linalg.norm(clean.normals.mean(axis=0))


def test_a_scanner_does_not_see_what_is_hidden_in_a_room():
    whole = make_room(np.random.default_rng(0), 20_000)
    scan = make_room(np.random.default_rng(0), 20_000, scan=True)
    assert len(np.unique(scan.points, axis=0)) > 0.99 * len(scan.points)
    assert len(scan.boxes) <= len(whole.boxes) and scan.instances.max() < len(scan.boxes)
    bed = CLASSES.index("bed")  # nobody sees it from below
    under = [(room.normals[room.labels == bed][:, 2] < -0.9).mean() for room in (whole, scan)]
    assert under[0] > 0.1 and under[1] < 0.02


def test_shapes_are_a_data_set_for_training(shapes):
    dataset = DATASETS.build(dict(type="SyntheticShapes", data_root=str(shapes), pipeline=PIPELINE))
    assert len(dataset) == 2 * len(FAMILIES) and dataset.metainfo["classes"] == FAMILIES
    assert len(dataset.metainfo["part_names"]) == NUM_PARTS
    item = dataset[1]
    assert item["data_samples"].gt_label == 1 and item["data_samples"].category == 1
    assert set(item["data_samples"].gt_point_labels.tolist()) <= set(dataset.metainfo["parts"]["chair"])
    batch = pseudo_collate([dataset[i] for i in range(4)])
    inputs = MODELS.build(dict(type="PointDataPreprocessor"))(batch)["inputs"]
    assert inputs["points"].shape == (4, 64, 3) and inputs["features"].shape == (4, 64, 3)


def test_families_can_be_held_out(shapes):
    held_out = dict(type="SyntheticShapes", data_root=str(shapes), split="val", only=["chair", "mug"])
    dataset = DATASETS.build(dict(**held_out, pipeline=PIPELINE))
    assert [int(dataset[i]["data_samples"].gt_label) for i in range(len(dataset))] == [
        1,
        FAMILIES.index("mug"),
    ]
    with pytest.raises(ConfigError, match="no class 'chiar'; did you mean 'chair'"):
        DATASETS.build(dict(type="SyntheticShapes", data_root=str(shapes), only=["chiar"], pipeline=[]))


def test_the_same_recipe_gives_the_same_files_and_another_is_refused(shapes, tmp_path):
    make_clouds(tmp_path / "again", "shapes", train=2 * len(FAMILIES), val=len(FAMILIES), points=128)
    for file in shapes.rglob("*.npy"):
        assert file.read_bytes() == (tmp_path / "again" / file.relative_to(shapes)).read_bytes()
    assert not make_clouds(shapes, "shapes", train=2 * len(FAMILIES), val=len(FAMILIES), points=128)
    with pytest.raises(DataError, match="points is 128 instead of 64"):
        make_clouds(shapes, "shapes", train=2 * len(FAMILIES), val=len(FAMILIES), points=64)


def test_boxes_enclose_their_things_tightly():
    for seed in range(4):
        room = make_room(np.random.default_rng(seed), 20_000)
        assert len(room.boxes) == len(room.box_labels) and room.instances.max() < len(room.boxes)
        for row, (x, y, z, length, width, height, yaw) in enumerate(room.boxes):
            points = room.points[room.instances == row] - [x, y, z]
            if len(points) < 200:
                continue
            along = points[:, 0] * np.cos(yaw) + points[:, 1] * np.sin(yaw)
            across = points[:, 1] * np.cos(yaw) - points[:, 0] * np.sin(yaw)
            for values, size in ((along, length), (across, width), (points[:, 2], height)):
                assert np.abs(values).max() < size / 2 + 0.03
                assert np.ptp(values) > 0.75 * size - 0.05
            assert (room.labels[room.instances == row] == room.box_labels[row]).all()


def test_things_of_a_room_stand_apart_and_inside():
    import torch
    from shapely import Polygon

    from dense3d.structures import Boxes3D

    standing = {
        CLASSES.index(name) for name in ("table", "chair", "sofa", "bed", "shelf", "cabinet", "bathtub")
    }
    for seed in range(10):
        room = make_room(np.random.default_rng(seed), 2000)
        chosen = np.array([label in standing for label in room.box_labels], dtype=bool)
        plans = Boxes3D(torch.tensor(room.boxes[chosen]), "world").footprint_corners().numpy()
        polygons = [Polygon(plan) for plan in plans]
        for i, one in enumerate(polygons):
            assert all(one.intersection(other).area < 1e-6 for other in polygons[:i])
        low, high = room.points[room.labels == 0].min(axis=0), room.points[room.labels == 0].max(axis=0)
        assert (plans.reshape(-1, 2) >= low[:2] - 0.1).all() and (
            plans.reshape(-1, 2) <= high[:2] + 0.1
        ).all()


def test_rooms_are_a_data_set_for_training(rooms):
    pipeline = [dict(type="LoadPoints"), dict(type="RandomRotatePoints")]
    pipeline.append(dict(type="PackPointInputs", features=["colors", "normals"]))
    dataset = DATASETS.build(dict(type="SyntheticRooms", data_root=str(rooms), pipeline=pipeline))
    assert len(dataset) == 2 and dataset.metainfo["classes"] == CLASSES
    item = dataset[0]
    sample = item["data_samples"]
    assert item["inputs"]["features"].shape == (4000, 6) and abs(item["inputs"]["features"][:, :3]).max() <= 1
    assert sample.gt_point_labels.shape == (4000,) and set(sample.gt_point_labels.tolist()) <= set(
        range(len(CLASSES))
    )
    assert sample.gt_boxes.shape == (len(sample.gt_box_labels), 7) and sample.gt_instances.min() == -1


def test_the_command_makes_them(tmp_path, capsys):
    assert (
        main(
            [
                "make-synthetic",
                "shapes",
                str(tmp_path / "a"),
                "--train",
                "2",
                "--val",
                "0",
                "--points",
                "32",
                "--scan",
            ]
        )
        == 0
    )
    assert "2 train and 0 val shapes of 32 points" in capsys.readouterr().out
    assert json.loads((tmp_path / "a" / "synthetic.json").read_text())["recipe"]["scan"] is True
    assert (
        main(
            ["make-synthetic", "rooms", str(tmp_path / "b"), "--train", "1", "--val", "0", "--points", "1000"]
        )
        == 0
    )
    for arguments, message in (
        (["shapes", "--size", "32x32"], "--size is of images"),
        (["coco", "--points", "5"], "--points and --scan are of"),
        (["shapes", "--points", "3"], "shapes have 16 to 10 million points"),
        (["shapes", "--train", "0", "--val", "0"], "must not be negative or both zero"),
    ):
        assert main(["make-synthetic", arguments[0], str(tmp_path / "c"), *arguments[1:]]) == 2
        assert message in capsys.readouterr().err


def test_missing_folders_say_how_they_are_made(tmp_path):
    for kind, layout in (("SyntheticShapes", "shapes"), ("SyntheticRooms", "rooms")):
        with pytest.raises(DataError, match=f"make it with dense3d make-synthetic {layout}"):
            DATASETS.build(dict(type=kind, data_root=str(tmp_path / "none"), pipeline=[]))


def test_a_config_makes_the_data_first(tmp_path):
    from mmengine.config import Config

    from dense3d.apis.setup import make_synthetic_data

    root = str(tmp_path / "new")
    dataset = dict(type="SyntheticShapes", data_root=root, pipeline=PIPELINE)
    recipe = dict(root=root, layouts=("shapes",), train=3, val=0, points=32)
    make_synthetic_data(
        Config(dict(synthetic_data=recipe, train_dataloader=dict(dataset=dataset))), ("train",)
    )
    assert len(DATASETS.build(dataset)) == 3


def test_data_of_another_version_are_refused(shapes, tmp_path):
    import shutil

    shutil.copytree(shapes, tmp_path / "old")
    (tmp_path / "old" / "families.json").write_text('{"cube": ["side"]}')
    with pytest.raises(DataError, match="another version"):
        DATASETS.build(dict(type="SyntheticShapes", data_root=str(tmp_path / "old"), pipeline=[]))


def test_walls_end_where_doors_and_pictures_hang():
    for seed in range(3):
        room = make_room(np.random.default_rng(seed), 20_000)
        wall = room.points[room.labels == CLASSES.index("wall")]
        assert len(room.points) == 20_000
        for (x, y, z, length, _, height, yaw), label in zip(room.boxes, room.box_labels):
            if CLASSES[label] not in ("door", "window", "picture"):
                continue
            local = wall - [x, y, z]
            along = local[:, 0] * np.cos(yaw) + local[:, 1] * np.sin(yaw)
            across = local[:, 1] * np.cos(yaw) - local[:, 0] * np.sin(yaw)
            behind = (np.abs(along) < length / 2 - 0.02) & (np.abs(local[:, 2]) < height / 2 - 0.02)
            assert not (behind & (np.abs(across) < 0.1)).any()
