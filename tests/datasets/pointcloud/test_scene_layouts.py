"""Rooms in their released layouts, written small by the test; real samples where they are."""

import json

import numpy as np
import pytest
import torch

from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS
from dense3d.structures import Boxes3D


def _build(kind, root, **settings):
    return DATASETS.build(
        dict(type=kind, data_root=str(root), pipeline=[dict(type="LoadPoints")], **settings)
    )


POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2], [1, 0, 2], [0, 1, 3]], np.float32)
TURN = np.array([[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], float)


def _scan(folder, name):
    folder.mkdir(parents=True)
    head = "ply\nformat ascii 1.0\nelement vertex 6\nproperty float x\nproperty float y\nproperty float z\n"
    colour = "".join(f"property uchar {c}\n" for c in ("red", "green", "blue", "alpha"))
    faces = "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    rows = [" ".join(map(str, p)) for p in POINTS.astype(int).tolist()]
    tail = "3 0 1 2\n3 3 4 5\n"
    (folder / f"{name}_vh_clean_2.ply").write_text(
        head + colour + faces + "\n".join(f"{row} 255 0 51 255" for row in rows) + "\n" + tail
    )
    labelled = [f"{row} 0 0 0 255 {label}" for row, label in zip(rows, (1, 2, 39, 40, 0, 5))]
    (folder / f"{name}_vh_clean_2.labels.ply").write_text(
        head + colour + "property ushort label\n" + faces + "\n".join(labelled) + "\n" + tail
    )
    (folder / f"{name}.txt").write_text(
        f"axisAlignment = {' '.join(str(v) for v in TURN.ravel())}\nsceneType = Kitchen\n"
    )


def test_scannet_scans_with_labels(tmp_path):
    _scan(tmp_path / "scans" / "scene0000_00", "scene0000_00")
    (tmp_path / "scannetv2_train.txt").write_text("scene0000_00\n")
    item = _build("ScanNet", tmp_path)[0]
    np.testing.assert_allclose(item["points"], POINTS @ TURN[:3, :3].T + TURN[:3, 3], atol=1e-6)
    assert item["point_labels"].tolist() == [0, 1, 19, -1, -1, 4]
    np.testing.assert_allclose(item["colors"][0], [1, 0, 0.2], atol=1e-6)
    np.testing.assert_allclose(np.abs(item["normals"][0]), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(_build("ScanNet", tmp_path, align=False)[0]["points"], POINTS)
    (tmp_path / "scans" / "scene0000_00" / "scene0000_00_vh_clean_2.labels.ply").unlink()
    with pytest.raises(DataError, match=r"labels\.ply does not exist"):
        _build("ScanNet", tmp_path)
    with pytest.raises(DataError, match=r"scannetv2_val\.txt does not exist"):
        _build("ScanNet", tmp_path, split="val")


def test_scannet_scans_with_segments_give_instances_and_boxes(tmp_path):
    folder = tmp_path / "scans" / "scene0001_00"
    _scan(folder, "scene0001_00")
    (tmp_path / "scannetv2_train.txt").write_text("scene0001_00\n")
    (tmp_path / "scannetv2-labels.combined.tsv").write_text(
        "id\traw_category\tcategory\tnyu40id\n1\twall\twall\t1\n2\toffice chair\tchair\t5\n3\tbox\tbox\t29\n"
    )
    (folder / "scene0001_00_vh_clean_2.0.010000.segs.json").write_text(
        json.dumps({"segIndices": [7, 7, 7, 9, 9, 11]})
    )
    groups = [
        dict(label="wall", segments=[7]),
        dict(label="office chair", segments=[9]),
        dict(label="box", segments=[11]),
    ]
    (folder / "scene0001_00.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    item = _build("ScanNet", tmp_path)[0]
    assert item["point_labels"].tolist() == [0, 0, 0, 4, 4, -1]
    assert item["instances"].tolist() == [-1, -1, -1, 0, 0, -1] and item["gt_box_labels"].tolist() == [4]
    inside = item["points"][3:5]
    np.testing.assert_allclose(item["gt_boxes"][0, :3], inside.mean(axis=0), atol=1e-6)
    mesh = folder / "scene0001_00_vh_clean_2.ply"
    mesh.write_text(mesh.read_text().replace("\n1 0 2 ", "\nnan 0 2 "))  # of the chair
    item = _build("ScanNet", tmp_path)[0]
    assert item["instances"].tolist() == [-1, -1, -1, 0, -1]
    np.testing.assert_allclose(item["gt_boxes"][0, :3], item["points"][3], atol=1e-6)
    (folder / "scene0001_00.txt").write_text("sceneType = Kitchen\n")
    assert len(_build("ScanNet", tmp_path)[0]["points"]) == 5  # as it was taken
    with pytest.raises(DataError, match="states no axisAlignment, so boxes would not"):
        _build("ScanNet", tmp_path, task="detection")[0]
    assert len(_build("ScanNet", tmp_path, task="detection", align=False)[0]["gt_boxes"]) == 1
    _scan(tmp_path / "scans_test" / "scene0001_00", "scene0001_00")
    (tmp_path / "scans_test" / "scene0001_00" / "scene0001_00.txt").write_text("sceneType = Kitchen\n")
    (tmp_path / "scannetv2_test.txt").write_text("scene0001_00\n")
    assert len(_build("ScanNet", tmp_path, task="detection", split="test")[0]["points"])  # has no boxes
    (folder / "scene0001_00.aggregation.json").write_text("{}")
    with pytest.raises(DataError, match="its segments cannot be read"):
        _build("ScanNet", tmp_path)[0]


def _pointcept(folder, **labels):
    folder.mkdir(parents=True)
    arrays = dict(coord=POINTS, color=np.arange(18).reshape(6, 3).astype(np.uint8), normal=POINTS, **labels)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)


def test_scannet_of_pointcept(tmp_path):
    labels = dict(
        segment20=np.arange(6, dtype=np.int16) - 1, segment200=np.arange(6) + 100, instance=np.arange(6)
    )
    _pointcept(tmp_path / "val" / "scene0011_00", **labels)
    item = _build("ScanNet", tmp_path, split="val")[0]
    assert item["point_labels"].tolist() == [-1, 0, 1, 2, 3, 4] and item["instances"].tolist() == list(
        range(6)
    )
    np.testing.assert_allclose(item["colors"][5], np.array([15, 16, 17]) / 255, atol=1e-6)
    many = _build("ScanNet", tmp_path, split="val", num_classes=200)[0]
    assert many["point_labels"].tolist() == list(range(100, 106))
    names = _build("ScanNet", tmp_path, split="val", num_classes=200).metainfo["classes"]
    assert len({*names}) == 200 and names[:3] == ("wall", "chair", "floor") and names[-1] == "mattress"
    np.save(tmp_path / "val" / "scene0011_00" / "segment20.npy", np.arange(5))
    with pytest.raises(DataError, match="has 5 labels for 6 points"):
        _build("ScanNet", tmp_path, split="val")[0]
    (tmp_path / "val" / "scene0011_00" / "segment20.npy").unlink()
    with pytest.raises(DataError, match=r"segment20\.npy does not exist"):
        _build("ScanNet", tmp_path, split="val")
    with pytest.raises(ConfigError, match="200 classes"):
        _build("ScanNet", tmp_path, layout="scans", num_classes=200)


def test_points_whose_colour_is_not_finite_go_with_all_that_is_known_of_them(tmp_path):
    folder = tmp_path / "val" / "scene0011_00"
    _pointcept(folder, segment20=np.arange(6))
    colors = np.arange(18.0).reshape(6, 3)
    colors[2, 1] = np.nan
    np.save(folder / "color.npy", colors)
    item = _build("ScanNet", tmp_path, split="val")[0]
    assert item["point_labels"].tolist() == [0, 1, 3, 4, 5] and item["original_points"] == 6
    np.testing.assert_array_equal(item["points"], POINTS[[0, 1, 3, 4, 5]])
    np.testing.assert_allclose(item["colors"][2], np.array([9, 10, 11]) / 255, atol=1e-6)


def test_boxes_of_own_classes_in_folders(tmp_path):
    folder = tmp_path / "train" / "scene_a"
    boxes = np.array([[0, 0, 0, 1, 1, 1, 0, 2], [3, 0, 0, 1, 1, 1, 0, 0], [6, 0, 0, 1, 1, 1, 0.5, 3]])
    labels, instances = np.array([2, 0, 3, 3, -1, 1]), np.array([0, 1, 2, -1, 2, -1])
    _pointcept(folder, segment20=labels, instance=instances, boxes=boxes)
    own = dict(layout="pointcept", metainfo=dict(classes=("wall", "floor", "pallet", "shelf")))
    plain, things = _build("ScanNet", tmp_path, **own), _build("ScanNet", tmp_path, task="detection", **own)
    assert plain.metainfo["classes"] == own["metainfo"]["classes"]
    assert plain[0]["gt_box_labels"].tolist() == [2, 0, 3]
    assert things.metainfo["classes"] == ("pallet", "shelf")
    item = things[0]
    assert item["gt_box_labels"].tolist() == [0, 1] and item["gt_boxes"][1, 0] == 6  # walls are no things
    assert item["instances"].tolist() == [0, -1, 1, -1, -1, -1]
    for wrong in (boxes[:, :7], boxes[0]):
        np.save(folder / "boxes.npy", wrong)
        with pytest.raises(DataError, match=r"boxes.npy is float64 of shape .*; boxes are \(K, 8\)"):
            _build("ScanNet", tmp_path, **own)[0]
    for column, value, reason in ((6, 90, "yaws are radians"), (7, 0.5, "labels are whole numbers")):
        wrong = boxes.copy()
        wrong[1, column] = value  # as labelling tools write degrees
        np.save(folder / "boxes.npy", wrong)
        with pytest.raises(DataError, match=reason):
            _build("ScanNet", tmp_path, **own)[0]
    np.save(folder / "boxes.npy", np.zeros(0))
    assert _build("ScanNet", tmp_path, **own)[0]["gt_boxes"].shape == (0, 7)
    with pytest.raises(ConfigError, match="18 classes with boxes; leave num_classes"):
        _build("ScanNet", tmp_path, task="detection", num_classes=200)


def test_scenes_in_millimetres_are_said_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("dense3d.datasets.pointcloud.loading.say", said.append)
    for name in "ab":
        folder = tmp_path / "train" / f"scene_{name}"
        _pointcept(folder, segment20=np.arange(6), boxes=np.array([[0, 0, 0, 800.0, 600, 700, 0, 1]]))
        np.save(folder / "coord.npy", 1000 * np.load(folder / "coord.npy"))
    data = _build("ScanNet", tmp_path, layout="pointcept")
    assert [len(data[index]["gt_boxes"]) for index in (0, 1, 0)] == [1, 1, 1]
    assert len(said) == 1 and "multiply points and boxes by 0.001" in said[0]


def test_points_that_are_not_finite_are_said_to_go(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("dense3d.datasets.pointcloud.loading.say", said.append)
    _pointcept(tmp_path / "train" / "scene_a", segment20=np.arange(6))
    file = tmp_path / "train/scene_a/coord.npy"
    points = np.load(file).astype(np.float32)
    points[[1, 4], 0] = np.nan, np.inf
    np.save(file, points)
    data = _build("ScanNet", tmp_path, layout="pointcept")
    assert [data[0]["point_labels"].tolist() for _ in range(2)] == [[0, 2, 3, 5]] * 2
    assert len(said) == 1 and said[0].endswith("scene_a: 2 of 6 points are not finite and are left out")


def test_folders_with_colours_of_0_to_1_and_broken_labels(tmp_path):
    folder = tmp_path / "val" / "scene0011_00"
    _pointcept(folder, segment20=np.arange(6.0))
    colors = np.linspace(0, 1, 18).reshape(6, 3).astype(np.float32)
    np.save(folder / "color.npy", colors)
    item = _build("ScanNet", tmp_path, split="val")[0]
    np.testing.assert_allclose(item["colors"], colors, atol=1e-6)
    assert item["point_labels"].dtype == np.int64 and item["point_labels"].tolist() == [*range(6)]
    for wrong in (0.5, np.nan):
        np.save(folder / "segment20.npy", np.array([0, 1, wrong, 3, 4, 5]))
        with pytest.raises(DataError, match=r"segment20\.npy"):
            _build("ScanNet", tmp_path, split="val")[0]


def test_s3dis_of_both_layouts(tmp_path):
    _pointcept(tmp_path / "Area_1" / "office_1", segment=np.arange(6)[:, None], instance=np.zeros(6, int))
    notes = tmp_path / "Area_5" / "hallway_6" / "Annotations"
    notes.mkdir(parents=True)
    (notes / "chair_1.txt").write_text("0 0 0 255 0 51\n1 1 1 0 0 0\n")
    (notes / "stairs_1.txt").write_text("2 2 2 0 0 0\n3 3 3 1\x850 0 0\n")
    one, five = _build("S3DIS", tmp_path, areas=(1,))[0], _build("S3DIS", tmp_path, areas=(5,))[0]
    assert one["point_labels"].tolist() == list(range(6))
    assert five["point_labels"].tolist() == [8, 8, 12] and five["instances"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(five["colors"][0], [1, 0, 0.2], atol=1e-6)
    with pytest.raises(DataError, match="Area_2 does not exist"):
        _build("S3DIS", tmp_path, areas=(1, 2))
    with pytest.raises(ConfigError, match="areas must be one of"):
        _build("S3DIS", tmp_path, areas=(7,))
    (notes / "stairs_1.txt").write_text("all is broken\n" * 5)
    with pytest.raises(DataError, match=r"stairs_1\.txt has no rows"):
        _build("S3DIS", tmp_path, areas=(5,))[0]


def test_sun_rgbd_of_votenet(tmp_path):
    folder = tmp_path / "sunrgbd_pc_bbox_votes_50k_v1_train"
    folder.mkdir()
    # a box whose length lies along (cos 0.5, sin 0.5): VoteNet's heading is -0.5, its sizes are halves
    ends = np.array([[1.0, 2, 0.5]]) + np.outer([-1.5, 1.5], [np.cos(0.5), np.sin(0.5), 0])
    np.savez(folder / "000001_pc.npz", pc=np.hstack([ends, [[0, 0.5, 1]] * 2]))
    np.save(folder / "000001_bbox.npy", np.array([[1, 2, 0.5, 1.5, 0.5, 0.4, -0.5, 3]]))
    item = _build("SunRgbdPoints", tmp_path)[0]
    boxes = Boxes3D(torch.from_numpy(item["gt_boxes"]), "world")
    assert boxes.tensor[0, 3:6].tolist() == pytest.approx([3, 1, 0.8]) and item["gt_box_labels"].tolist() == [
        3
    ]
    corners = boxes.corners()[0].numpy()
    middle_of_front = corners[np.linalg.norm(corners - ends[1], axis=1) < 0.7].mean(axis=0)
    np.testing.assert_allclose(middle_of_front, ends[1], atol=1e-5)
    np.testing.assert_allclose(item["colors"][0], [0, 0.5, 1])
    np.save(folder / "000001_bbox.npy", np.ones((8, 7)))  # would be seven boxes
    with pytest.raises(
        DataError, match=r"000001_bbox\.npy is of shape \(8, 7\); VoteNet's boxes are \(K, 8\)"
    ):
        _build("SunRgbdPoints", tmp_path)[0]
    (folder / "000001_bbox.npy").unlink()
    with pytest.raises(DataError, match=r"000001_bbox\.npy does not exist"):
        _build("SunRgbdPoints", tmp_path)


@pytest.mark.parametrize(
    ("kind", "folder", "count"), [("ScanNet", "scannet", 27), ("SunRgbdPoints", "sunrgbd", 2)]
)
def test_real_rooms_fill_their_boxes(sample_data, kind, folder, count):
    dataset = _build(kind, sample_data / folder)
    item = dataset[0]
    boxes = Boxes3D(torch.from_numpy(item["gt_boxes"]), "world")
    assert len(boxes) == count and len(item["points"]) > 40_000 and 0.2 < item["colors"].mean() < 0.8
    local = item["points"][None] - boxes.center[:, None].numpy()  # (K, N, 3)
    cos, sin = np.cos(boxes.heading.numpy())[:, None], np.sin(boxes.heading.numpy())[:, None]
    along = local[..., 0] * cos + local[..., 1] * sin
    across = local[..., 1] * cos - local[..., 0] * sin
    half = boxes.tensor[:, 3:6].numpy()[:, None] / 2
    inside = (np.abs(np.stack([along, across, local[..., 2]], axis=-1)) < half + 0.02).all(axis=-1)
    assert (inside.sum(axis=1) > 50).all()
