"""``dense3d prepare`` on tiny trees that are written here, and the data set of what it makes."""

import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from dense3d.cli.dispatch import main
from dense3d.datasets.prepared import prepare, read_scene
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS
from tests.datasets.prepared.raw_trees import BOXES, TILT, TURN, K, box, write_scannet, write_sunrgbd


@pytest.fixture(scope="module")
def scannet(tmp_path_factory):
    return write_scannet(tmp_path_factory.mktemp("scannet") / "raw")


@pytest.fixture(scope="module")
def sunrgbd(tmp_path_factory):
    return write_sunrgbd(tmp_path_factory.mktemp("sunrgbd") / "raw")


def _built(folder, **settings):
    with DefaultScope.overwrite_default_scope("dense3d"):
        steps = [dict(type="LoadPoints"), dict(type="PackPointInputs", features=("colors",))]
        return DATASETS.build(dict(type="PreparedRooms", data_root=str(folder), pipeline=steps, **settings))


def test_scannet(scannet, tmp_path):
    manifest = prepare("scannet", scannet, tmp_path / "out", workers=1)
    assert manifest.splits == {"train": ("scene0000_00",), "val": ("scene0001_00",)}
    assert (manifest.axis_aligned, manifest.complete, manifest.max_points) == (True, True, 0)
    found = read_scene(tmp_path / "out/train/scene0000_00.npz")
    raw = np.random.default_rng(0).uniform(0, 2, (60, 3)).astype(np.float32)
    aligned = raw @ TURN[:3, :3].T + TURN[:3, 3]
    np.testing.assert_allclose(found["points"], aligned, atol=1e-5)
    # chair: segment 1, since the table took 2 after it; table: 2 and 3; floor and mug have no box
    assert found["gt_box_labels"].tolist() == [2, 4]
    parts = (aligned[10:20], aligned[20:40])
    expected = [[*(p.max(0) + p.min(0)) / 2, *(p.max(0) - p.min(0)), 0] for p in parts]
    np.testing.assert_allclose(found["gt_boxes"], expected, atol=1e-5)
    assert found["instances"].tolist() == [-1] * 10 + [0] * 10 + [1] * 20 + [-1] * 20
    assert found["point_labels"].tolist() == [-1] * 10 + [2] * 10 + [4] * 20 + [-1] * 20


def test_scannet_as_taken(scannet, tmp_path):
    manifest = prepare("scannet", scannet, tmp_path / "out", align=False, max_points=25, workers=1)
    assert (manifest.axis_aligned, manifest.max_points) == (False, 25)
    found = read_scene(tmp_path / "out/val/scene0001_00.npz")
    raw = np.random.default_rng(1).uniform(0, 2, (60, 3)).astype(np.float32)
    assert len(found["points"]) == 25
    assert {tuple(p) for p in found["points"].tolist()} <= {tuple(p) for p in raw.tolist()}
    # boxes are of all points
    np.testing.assert_allclose(found["gt_boxes"][0, 3:6], np.ptp(raw[10:20], axis=0), atol=1e-5)


def test_sunrgbd(sunrgbd, tmp_path):
    manifest = prepare("sunrgbd", sunrgbd, tmp_path / "out", workers=1)
    assert manifest.splits == {"train": ("000001", "000003"), "val": ("000002",)}
    assert (manifest.labels, manifest.axis_aligned) == ("v1", False)
    found = read_scene(tmp_path / "out/train/000001.npz")
    assert len(found["points"]) == 25  # 24 pixels at one metre, one beyond eight
    # the pixel of row 3, column 5, counted from 1, at one metre
    x, y = (4 + 1 - K[0, 2]) / K[0, 0], (2 + 1 - K[1, 2]) / K[1, 1]
    expected = TILT @ [x, 1.0, -y]
    np.testing.assert_allclose(found["points"][1], expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.inv(TILT) @ found["points"][24] @ [0, 1, 0], 8, atol=1e-5)
    np.testing.assert_allclose(found["colors"], 40 / 255, atol=1e-6)
    assert found["gt_box_labels"].tolist() == [3, 0]
    chair = [0.1, 2.0, -0.3, 1.0, 0.5, 0.8, np.arctan2(0.8, 0.6)]
    np.testing.assert_allclose(found["gt_boxes"][0], chair, atol=1e-6)
    assert read_scene(tmp_path / "out/train/000003.npz")["gt_boxes"].shape == (0, 7)


def test_our_yaw_is_minus_the_official_heading(sunrgbd, tmp_path):
    """The file of VoteNet with half sizes and a clockwise heading gives the same boxes."""
    prepare("sunrgbd", sunrgbd, tmp_path / "out", workers=1)
    folder = tmp_path / "votenet/sunrgbd_pc_bbox_votes_50k_v1_train"
    folder.mkdir(parents=True)
    across, along, up = np.abs(BOXES[0]["coeffs"][0])
    heading = -np.arctan2(0.8, 0.6)
    np.save(folder / "000001_bbox.npy", [[*BOXES[0]["centroid"][0], along, across, up, heading, 3]])
    np.savez(folder / "000001_pc.npz", pc=np.zeros((1, 6)))
    with DefaultScope.overwrite_default_scope("dense3d"):
        steps = [dict(type="LoadPoints"), dict(type="PackPointInputs")]
        data = dict(type="SunRgbdPoints", data_root=str(tmp_path / "votenet"), pipeline=steps)
        theirs = DATASETS.build(data)[0]["data_samples"].gt_boxes
    ours = read_scene(tmp_path / "out/train/000001.npz")["gt_boxes"][:1]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_v1_ends_where_a_flat_box_is_missing_and_v2_does_not(tmp_path):
    root = write_sunrgbd(tmp_path / "raw", flat=(2, 1, 0))
    counts = {}
    for labels in ("v1", "v2"):
        prepare("sunrgbd", root, tmp_path / labels, labels=labels, workers=1)
        counts[labels] = read_scene(tmp_path / labels / "train/000001.npz")["gt_box_labels"].tolist()
    assert counts == {"v1": [3], "v2": [3, 0]}


def test_boxes_that_are_none_are_left_out_and_said(tmp_path, capsys):
    bad = [
        box("chair", (np.nan, 0, 0), (1, 1, 1), (1, 0, 0)),
        dict(box("bed", (0, 0, 0), (1, 1, 1), (1, 0, 0)), centroid=np.zeros((0, 0))),
        box("sofa", (0, 0, 0), (1, 0, 1), (1, 0, 0)),
    ]
    root = write_sunrgbd(tmp_path / "raw", boxes=([*bad, BOXES[0]], [], []), flat=(4, 0, 0))
    assert main(["prepare", "sunrgbd", str(root), str(tmp_path / "out"), "--workers", "1"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out")] == [
        "left out: 000001: box 1 (chair) is not finite or has no volume",
        "left out: 000001: box 2 (bed) has no centre, sizes and direction",
        "left out: 000001: box 3 (sofa) is not finite or has no volume",
    ]
    assert read_scene(tmp_path / "out/train/000001.npz")["gt_box_labels"].tolist() == [3]


def test_two_roots_do_not_mix_in_one_folder(scannet, tmp_path):
    prepare("scannet", scannet, tmp_path / "out", workers=1)
    other = write_scannet(tmp_path / "other", scenes=(("scene0002_00", "train"),))
    with pytest.raises(DataError, match=r"was prepared from .*raw, now it is .*other: name another folder"):
        prepare("scannet", other, tmp_path / "out", workers=1)
    file = tmp_path / "out/prepared.json"
    document = json.loads(file.read_text())
    assert list(document["splits"]["train"]) == ["scene0000_00"]
    file.write_text(json.dumps({name: value for name, value in document.items() if name != "root"}))
    prepare("scannet", scannet, tmp_path / "out", workers=1)  # of a version before


@pytest.mark.parametrize("name", ["K", "TILT"])
def test_a_frame_without_camera_or_tilt_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setattr(f"tests.datasets.prepared.raw_trees.{name}", np.zeros((0, 0)))
    root = write_sunrgbd(tmp_path / "raw")
    with pytest.raises(DataError, match=r"frame 1 of .*3DBB_v2.mat has no (K|Rtilt) of 3 x 3"):
        prepare("sunrgbd", root, tmp_path / "out", workers=1)


def test_two_processes_make_the_same_and_nothing_is_made_twice(sunrgbd, tmp_path):
    prepare("sunrgbd", sunrgbd, tmp_path / "one", workers=1)
    prepare("sunrgbd", sunrgbd, tmp_path / "two", workers=2)
    for name in ("train/000001.npz", "val/000002.npz"):
        one, two = (read_scene(tmp_path / folder / name) for folder in ("one", "two"))
        assert {key: values.tolist() for key, values in one.items()} == {
            key: values.tolist() for key, values in two.items()
        }
    kept = tmp_path / "two/train/000001.npz"
    before = kept.stat().st_mtime_ns
    (tmp_path / "two/val/000002.npz").unlink()
    with pytest.raises(DataError, match=r"000002.npz does not exist"):
        _built(tmp_path / "two", split="val")
    prepare("sunrgbd", sunrgbd, tmp_path / "two", workers=1)
    assert kept.stat().st_mtime_ns == before
    assert len(_built(tmp_path / "two", split="val")) == 1


def test_other_settings_in_the_same_folder_are_refused(scannet, sunrgbd, tmp_path):
    prepare("scannet", scannet, tmp_path / "out", workers=1)
    with pytest.raises(DataError, match=r"axis_aligned=True, now it is False; name another folder"):
        prepare("scannet", scannet, tmp_path / "out", align=False, workers=1)
    with pytest.raises(DataError, match=r"dataset='scannet', now it is 'sunrgbd'"):
        prepare("sunrgbd", sunrgbd, tmp_path / "out", workers=1)
    with pytest.raises(DataError, match=r"holds other files"):
        prepare("scannet", scannet, scannet, workers=1)


def test_missing_files_are_named_or_left_out(tmp_path, capsys):
    root = write_scannet(tmp_path / "raw")
    gone = root / "scans/scene0001_00/scene0001_00.txt"
    gone.unlink()
    assert main(["prepare", "scannet", str(root), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "1 of 2 scenes lack files" in error and str(gone) in error and error.count("\n") == 1
    assert (tmp_path / "out/missing.txt").read_text() == f"{gone}\n"
    words = ["prepare", "scannet", str(root), str(tmp_path / "out"), "--skip-missing", "--workers", "1"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "1 train and 0 val scenes of scannet (v2, axis-aligned, all points)" in printed
    assert f"left out: scene0001_00: {gone} missing" in printed
    assert not (tmp_path / "out/missing.txt").exists()


def test_an_alignment_that_is_not_stated_is_refused(tmp_path):
    root = write_scannet(tmp_path / "raw")
    (root / "scans/scene0000_00/scene0000_00.txt").write_text("appVersion = 1\n")
    with pytest.raises(DataError, match=r"scene0000_00.txt states no axisAlignment.*--no-align"):
        prepare("scannet", root, tmp_path / "out", workers=1)
    with pytest.raises(DataError, match=r"is not prepared to the end"):
        _built(tmp_path / "out")
    prepare("scannet", root, tmp_path / "taken", align=False, workers=1)


@pytest.mark.parametrize("name", ["SUNRGBDMeta3DBB_v2.mat", "SUNRGBDtoolbox/Metadata/SUNRGBDMeta.mat"])
def test_missing_and_damaged_tables_are_named(name, tmp_path):
    root = write_sunrgbd(tmp_path / "raw")
    table = root / "OFFICIAL_SUNRGBD" / name
    content = table.read_bytes()
    table.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=rf"{table.name}.*copy it again"):
        prepare("sunrgbd", root, tmp_path / "out")
    table.unlink()
    with pytest.raises(DataError, match=rf"{table.name} does not exist"):
        prepare("sunrgbd", root, tmp_path / "out")


def test_the_data_set(scannet, sunrgbd, tmp_path):
    prepare("scannet", scannet, tmp_path / "scannet", workers=1)
    data = _built(tmp_path / "scannet", split="train", dataset="scannet", axis_aligned=True)
    assert data.metainfo["axis_aligned"] is True and data.metainfo["classes"][-1] == "garbagebin"
    sample = data[0]["data_samples"]
    assert sample.gt_boxes.shape == (2, 7) and sample.gt_box_labels.tolist() == [2, 4]
    assert data[0]["inputs"]["features"].shape == (60, 3)
    prepare("sunrgbd", sunrgbd, tmp_path / "sunrgbd", workers=1)
    assert _built(tmp_path / "sunrgbd", split="val").metainfo["axis_aligned"] is False


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"axis_aligned": False}, r"axis_aligned=True, but the config expects False"),
        ({"dataset": "sunrgbd"}, r"dataset='scannet', but the config expects 'sunrgbd'"),
        ({"labels": "v1"}, r"labels='v2', but the config expects 'v1'"),
    ],
)
def test_a_config_that_expects_something_else_is_refused(settings, reason, scannet, tmp_path):
    prepare("scannet", scannet, tmp_path / "out", workers=1)
    with pytest.raises(ConfigError, match=reason):
        _built(tmp_path / "out", **settings)


def test_folders_of_other_versions_are_refused(scannet, tmp_path):
    prepare("scannet", scannet, tmp_path / "out", workers=1)
    file = tmp_path / "out/prepared.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(DataError, match=r"prepared in format 99.*dense3d prepare scannet"):
        _built(tmp_path / "out")
    file.write_text("{")
    with pytest.raises(DataError, match=r"cannot be read"):
        _built(tmp_path / "out")
    file.unlink()
    with pytest.raises(DataError, match=r"was not made by dense3d prepare"):
        _built(tmp_path / "out")
    with pytest.raises(DataError, match=r"no split 'tests'"):
        prepare("scannet", scannet, tmp_path / "other", workers=1)
        _built(tmp_path / "other", split="tests")


def test_a_damaged_scene_is_named(scannet, tmp_path):
    prepare("scannet", scannet, tmp_path / "out", workers=1)
    file = tmp_path / "out/train/scene0000_00.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"scene0000_00.npz is damaged.*dense3d prepare makes it again"):
        _built(tmp_path / "out")[0]


def test_a_category_that_the_table_has_not_is_named(tmp_path):
    root = write_scannet(tmp_path / "raw")
    table = root / "scannetv2-labels.combined.tsv"
    table.write_text(table.read_text().replace("office chair", "armchair"))
    with pytest.raises(DataError, match=r"aggregation.json: .*combined.tsv has no category 'office chair'"):
        prepare("scannet", root, tmp_path / "out", workers=1)
