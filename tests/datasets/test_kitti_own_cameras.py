"""KITTI's layout from other cameras: JPEG, frames with names, P2 alone, other classes, no test set."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from PIL import Image

from dense3d.apis.calibrations import calibration_for
from dense3d.apis.kitti_evaluation import evaluate_kitti
from dense3d.cli.dispatch import main
from dense3d.config.values import wrong_value
from dense3d.datasets.kitti import KittiObjects, read_calibration, read_objects, write_results
from dense3d.datasets.layouts import check_layout
from dense3d.datasets.scan.datasets import scan_dataset
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.kitti.protocol import Protocol
from dense3d.registry import DATASETS

FRAMES = [f"cam0_{number} east" for number in range(45)]  # from 40 objects on even a devkit's recall is exact
CLASSES = ("Car", "Bus")
OWN = dict(img_suffix=".jpg", any_frame_names=True, p2_only=True, extra_classes=dict(Bus="Car"))
P2 = "P2: 700 0 320 0 0 700 120 0 0 0 1 0\n"
PIPELINE = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=(320, 128), flip_prob=1.0, crop_prob=1.0),
    dict(type="EncodeMonoTargets", classes=CLASSES),
    dict(type="PackKittiFrame"),
]


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope("dense3d"):
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A car and a bus a frame, each where its 2D box is."""
    training = tmp_path / "training"
    for folder in ("image_2", "label_2", "calib"):
        (training / folder).mkdir(parents=True)
    for number, frame in enumerate(FRAMES):
        image = Image.fromarray(np.full((240, 640, 3), number, np.uint8))
        image.save(training / "image_2" / f"{frame}.jpg")
        (training / "calib" / f"{frame}.txt").write_text(P2)
        depth = 12 + number % 5
        left, right = (320 + 700 * (x - 2) / depth for x in (0.0, 4.0))
        (training / "label_2" / f"{frame}.txt").write_text(
            f"Car 0 0 0.10 {left - 200:.2f} 100 {right - 200:.2f} 190 1.5 1.6 4 -5 1.7 {depth} 0.1\n"
            f"Bus 0 0 -1.20 {left + 60:.2f} 60 {right + 60:.2f} 200 3.2 2.5 11 3 1.7 {depth + 8} 1.5\n"
            "DontCare -1 -1 -10 1 1 20 20 -1 -1 -1 -1000 -1000 -1000 -10\n"
        )
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "all.txt").write_text("\n".join(FRAMES))
    return tmp_path


def build(root: Path, **settings):
    settings = dict(ann_file="ImageSets/all.txt", classes=CLASSES, pipeline=PIPELINE) | settings
    return DATASETS.build(dict(type="KittiDataset", data_root=str(root), **settings))


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (
            "img_suffix",
            r"cam0_0 east.png does not exist, but .* there is cam0_0 east.jpg: set img_suffix='.jpg'",
        ),
        (
            "any_frame_names",
            r"all.txt, line 1: 'cam0_0 east' is no frame; .*any_frame_names=True in the data set",
        ),
        ("p2_only", r"calib/cam0_0 east.txt has no matrix P0; .*where only P2 is known, set p2_only=True"),
    ],
)
def test_each_option_is_named_where_it_is_missing(root, option, sentence):
    with pytest.raises(DataError, match=sentence):
        build(root, **{key: value for key, value in OWN.items() if key != option})


def test_classes_of_ones_own_are_named_by_an_option(root):
    without = {key: value for key, value in OWN.items() if key != "extra_classes"}
    with pytest.raises(ConfigError, match=r"no objects of the class 'Bus'; extra_classes=\['Bus'\] adds it"):
        build(root, **without)
    with pytest.raises(DataError, match=r"east.txt, line 2: unknown class 'Bus'; known are .* extra_classes"):
        build(root, classes=("Car",), **without)
    for names in ("Bus", ["a b"], ["DontCare"], [3]):
        with pytest.raises(ConfigError, match="extra_classes"):
            build(root, **{**OWN, "extra_classes": names})


@pytest.mark.parametrize("names", [["Bus"], ("Bus",), {"Bus": "Car"}])
def test_a_config_may_name_classes_as_a_list_or_as_the_metric_does(names):
    assert wrong_value(names, "extra_classes", DATASETS.get("KittiDataset")) is None


def test_a_sample_with_all_options(root):
    dataset = build(root, **OWN)
    assert len(dataset) == len(FRAMES)
    packed = dataset[3]
    assert packed["inputs"].shape == (3, 128, 320)
    sample = packed["data_samples"]
    assert sample.frame == FRAMES[3]
    assert sample.objects.names == ("Car", "Bus", "DontCare")
    assert sorted(sample.gt_instances.labels.tolist()) == [0, 1]
    (report,) = scan_dataset(
        dict(type="KittiDataset", data_root=str(root), ann_file="ImageSets/all.txt", **OWN)
    )
    assert (report.ok, report.found) == (True, len(FRAMES))


def test_matrices_that_a_sensor_needs_are_asked_for(root):
    (root / "training/image_3").mkdir()
    for frame in FRAMES:
        (root / "training/image_3" / f"{frame}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"has no matrix P3; a calibration has P2, P3$"):
        build(root, with_right=True, **OWN)


def test_what_a_calibration_lacks(root):
    file = root / "training/calib" / f"{FRAMES[0]}.txt"
    calibration = read_calibration(file, needed=("P2",))
    pixels, depth = calibration.project(np.array([[1.0, 0.5, 10.0]]))
    assert (pixels.tolist(), depth.tolist()) == ([[390.0, 155.0]], [10.0])
    assert calibration.baseline == 0
    assert calibration.lidar_to_rect(np.array([10.0, -1.0, -0.5])).tolist() == [1.0, 0.5, 10.0]
    file.write_text("P0" + P2[2:])
    with pytest.raises(DataError, match="has no matrix P2"):
        read_calibration(file, needed=("P2",))


def test_an_image_of_ones_own_camera_is_predicted_from(root):
    """Prediction needs the camera that took the image, and no rig."""
    image = root / "training/image_2" / f"{FRAMES[0]}.jpg"
    assert calibration_for("image", image, None).P2[0, 0] == 700


def perfect(objects: KittiObjects) -> KittiObjects:
    return objects.select(np.array(objects.names) != "DontCare").with_scores(0.9)


def test_ground_truth_through_the_evaluator_scores_100(root):
    dataset = build(root, test_mode=True, pipeline=[PIPELINE[0], PIPELINE[-1]], **OWN)
    evaluator = Evaluator(
        dict(
            type="KittiMetric",
            label_folder=str(root / "training/label_2"),
            image_set=str(root / "ImageSets/all.txt"),
            classes=CLASSES[:1],
            extra_classes=OWN["extra_classes"],
            result_folder=str(root / "results"),
        )
    )
    for packed in dataset:
        sample = packed["data_samples"]
        sample.predictions = perfect(sample.objects)
        evaluator.process([sample])
    figures = evaluator.evaluate(len(dataset))
    assert {name.split("/")[1] for name in figures} == {*CLASSES}
    assert {*figures.values()} == {100.0}
    assert len(list((root / "results").iterdir())) == len(FRAMES)


def test_ground_truth_as_result_files_scores_100(root, tmp_path, monkeypatch, capsys):
    labels = root / "training/label_2"
    known = dict(extra_classes=("Bus",))
    found = {frame: perfect(read_objects(labels / f"{frame}.txt", **known)) for frame in FRAMES}
    write_results(tmp_path / "out", found, **known)
    result = evaluate_kitti(labels, tmp_path / "out", ["Bus"], extra_classes={"Bus": "Pedestrian"})
    assert result.protocol.limits[0][2] == (0.5,)
    assert {*result.flat().values()} == {100.0}
    arguments = ["eval-kitti", str(labels), str(tmp_path / "out"), "--split", str(root / "ImageSets/all.txt")]
    monkeypatch.setattr(
        sys, "argv", ["dense3d", *arguments, "--classes", "Car", "--extra-classes", "Bus=Car"]
    )
    assert main() == 0
    printed = capsys.readouterr().out
    assert "Bus (45 easy, 45 moderate, 45 hard ground truths)" in printed
    assert re.search(r"3D > 0.70( +100.00){6}\n", printed.partition("Bus (")[2])
    monkeypatch.setattr(sys, "argv", ["dense3d", *arguments])
    assert main() == 2
    assert "unknown class 'Bus'" in (sentence := capsys.readouterr().err)
    assert "--extra-classes" in sentence
    with pytest.raises(DataError, match="detection 1: unknown class 'Bus'"):
        write_results(tmp_path / "other", found)


def test_rules_of_further_classes():
    protocol = Protocol.of(["pedestrian"], {"Bus": "car"})
    assert protocol.classes == ("Pedestrian", "Bus")
    assert protocol.limits[0] == ((0.5, 0.7),) * 3
    with pytest.raises(ConfigError, match=r"class 'Tram'.*extra_classes=dict\(Tram='Car'\) adds one"):
        Protocol.of(["Tram"])
    with pytest.raises(ConfigError, match="'Bus' the limits of 'Van'; choose Car, Pedestrian or Cyclist"):
        Protocol.of(["Car"], {"Bus": "Van"})
    with pytest.raises(ConfigError, match="'Cyclist', which KITTI evaluates by rules of its own"):
        Protocol.of(["Car"], {"Cyclist": "Car"})
    with pytest.raises(ConfigError, match=r"such as dict\(Bus='Car'\), not \['Bus'\]"):
        Protocol.of(["Car"], ["Bus"])


@pytest.mark.parametrize("name", ["../000001", "a/b", ".hidden", "a\\b", "x" * 201])
def test_names_that_are_no_files_are_refused(root, name):
    (root / "ImageSets/all.txt").write_text(name)
    with pytest.raises(DataError, match=r"line 1: .* is no frame; a name"):
        build(root, **OWN)


def test_the_layout_without_a_test_set(root):
    report = check_layout("kitti", root)
    assert report.ok, report.table()
    notes = [str(note) for note in report.notes]
    assert any("set img_suffix='.jpg' in the data set" in note for note in notes)
    assert any("testing/image_2" in note and "needed only for a submission" in note for note in notes)
    (root / "training/label_2" / f"{FRAMES[1]}.txt").unlink()
    (fault,) = check_layout("kitti", root).faults
    assert f"{FRAMES[1]}.txt" in str(fault)
