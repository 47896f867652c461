"""The data set and its augmentation: official targets, pixels that move with labels, real frames, faults."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from PIL import Image

from dense3d.datasets.kitti import KittiObjects, parse_objects, read_calibration, read_objects
from dense3d.datasets.kitti.mono_targets import decode_heading, encode_heading, encode_mono_targets
from dense3d.datasets.kitti.velodyne import lidar_depth_map
from dense3d.datasets.kitti.warp import ImageWarp, draw_warp
from dense3d.datasets.scan.datasets import scan_dataset
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.kitti import evaluate
from dense3d.registry import DATASETS, TRANSFORMS
from dense3d.structures import KittiCalibration
from dense3d.visualization.annotations import draw_sample
from tests.golden.kit import GoldenKit, align

PIPELINE = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=(1280, 384)),
    dict(type="EncodeMonoTargets"),
    dict(type="PackKittiFrame"),
]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def build(root, **settings):
    settings = dict(ann_file="ImageSets/train.txt", pipeline=PIPELINE) | settings
    return DATASETS.build(dict(type="KittiDataset", data_root=str(root), **settings))


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope("dense3d"):
        yield


@pytest.fixture
def root(sample_data, tmp_path):
    """A copy without lidar, free to be damaged."""
    for part in ("image_2", "label_2", "calib"):
        shutil.copytree(sample_data / f"kitti/training/{part}", tmp_path / f"training/{part}")
    shutil.copytree(sample_data / "kitti/ImageSets", tmp_path / "ImageSets")
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path


@pytest.mark.parametrize(
    ("kit", "check"),
    [("monodetr", "targets_test"), ("monodetr", "targets_train"), ("monodino-detr-base", "targets_test")],
)
def test_image_and_targets_of_the_official_pipeline(golden_dir, kit, check):
    kit = GoldenKit(golden_dir / kit)
    inputs, truth = kit.inputs(check), kit.outputs(check)
    objects = parse_objects("\n".join(map(str, inputs["labels"])))
    matrices = KittiCalibration.pinhole(1.0, (0.0, 0.0)).matrices() | {"P2": inputs["P2"]}
    size = inputs["image"].shape[1::-1]
    warp = ImageWarp(size, (1280, 384))
    if inputs["train"]:
        uniform, normal = iter(inputs["uniform_draws"]), iter(inputs["normal_draws"])
        warp = draw_warp(size, (1280, 384), lambda: next(uniform), lambda: next(normal))
    writelist = [str(name) for name in inputs["writelist"]]
    targets = encode_mono_targets(objects, KittiCalibration(**matrices), warp, writelist)
    rows = targets.rows
    assert rows.tolist() == np.flatnonzero(truth["mask_2d"]).tolist()
    names = ["Pedestrian", "Car", "Cyclist"]  # the official ids
    assert [names.index(writelist[i]) for i in targets.labels] == truth["labels"][rows].tolist()
    for name in ("boxes", "boxes_3d", "size_3d"):
        np.testing.assert_allclose(getattr(targets, name), truth[name][rows], atol=1e-5)
    np.testing.assert_allclose(targets.depth, truth["depth"][rows, 0], atol=1e-5)
    np.testing.assert_array_equal(targets.heading_bin, truth["heading_bin"][rows, 0])
    np.testing.assert_allclose(targets.heading_residual, truth["heading_res"][rows, 0], atol=1e-5)
    image = ((warp.move_image(inputs["image"]) / 255 - MEAN) / STD).transpose(2, 0, 1)
    np.testing.assert_allclose(align(image, truth["image"]), truth["image"], atol=1e-4)


@pytest.mark.parametrize("flipped", [False, True])
def test_pixels_and_labels_move_together(flipped):
    """A bright block in the picture lies where its box says, to half a pixel of the result."""
    image = np.zeros((375, 1242, 3), np.uint8)
    image[100:150, 300:400] = 255
    box = np.array([[300.0, 100, 400, 150]])
    warp = ImageWarp((1242, 375), (1280, 384), flipped, crop_scale=0.96, shift=(0.03, -0.02))
    rows, columns = np.nonzero(warp.move_image(image)[..., 0] > 127)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(warp.move_boxes(box)[0], seen, atol=1)
    corners = box.reshape(2, 2)
    moved = warp.move_points(corners)
    np.testing.assert_allclose(np.sort(moved, axis=0).ravel(), warp.move_boxes(box)[0])


@pytest.mark.parametrize("flipped", [False, True])
def test_the_calibration_of_the_moved_image(sample_data, flipped):
    calibration = read_calibration(sample_data / "kitti/training/calib/000001.txt")
    warp = ImageWarp((1242, 375), (1280, 384), flipped, crop_scale=1.04, shift=(-0.05, 0.02))
    points = np.random.default_rng(0).uniform((-10, -1, 5), (10, 2, 50), (30, 3))
    pixels, depth = calibration.project(points)
    mirrored = points * [-1, 1, 1] if flipped else points
    there, same = warp.move_calibration(calibration).project(mirrored)
    np.testing.assert_allclose(there, warp.move_points(pixels), atol=1e-6)
    np.testing.assert_allclose(same, depth)


def test_a_flip_mirrors_headings_and_comes_back():
    warp = ImageWarp((1242, 375), (1280, 384), flipped=True)
    angles = np.linspace(-3.1, 3.1, 50)
    np.testing.assert_allclose(warp.mirror_angles(warp.mirror_angles(angles)), angles, atol=1e-12)
    assert warp.mirror_angles(np.array([np.pi / 2]))[0] == pytest.approx(np.pi / 2)  # facing the camera
    boxes = np.array([[10.0, 20, 30, 40]])
    np.testing.assert_allclose(warp.mirror_boxes(warp.mirror_boxes(boxes)), boxes)


def test_headings_both_ways():
    angles = np.linspace(-np.pi + 1e-6, np.pi, 1000)
    bins, residuals = encode_heading(angles)
    assert set(bins.tolist()) == set(range(12))
    assert np.abs(residuals).max() <= np.pi / 12 + 1e-9
    np.testing.assert_allclose(decode_heading(bins, residuals), angles, atol=1e-9)


def test_draws_keep_their_limits():
    rng = np.random.default_rng(0)
    warps = [draw_warp((1242, 375), (1280, 384), rng.random, rng.standard_normal) for _ in range(500)]
    cropped = [warp for warp in warps if warp.crop_scale != 1]
    assert 0.4 < np.mean([warp.flipped for warp in warps]) < 0.6
    assert 0.4 < len(cropped) / 500 < 0.6
    assert {min(w.crop_scale for w in warps), max(w.crop_scale for w in warps)} == {0.95, 1.05}
    assert max(abs(v) for w in cropped for v in w.shift) <= 0.1
    never = [draw_warp((10, 10), (10, 10), rng.random, rng.standard_normal, 0, 0) for _ in range(20)]
    assert not any(warp.flipped or warp.crop_scale != 1 for warp in never)


def test_samples_of_real_frames(sample_data):
    dataset = build(sample_data / "kitti")
    assert len(dataset) == 4
    assert dataset.metainfo["classes"] == ("Pedestrian", "Car", "Cyclist")
    for packed in dataset:
        assert packed["inputs"].shape == (3, 384, 1280)
        assert packed["inputs"].dtype == torch.uint8
        sample = packed["data_samples"]
        targets = sample.gt_instances
        # the projected centre of a box lies inside its 2D box and its depth is the label's
        assert (targets.boxes_3d[:, 2:] >= 0).all()
        depth = torch.from_numpy(sample.objects.location[targets.rows.numpy(), 2]).float()
        torch.testing.assert_close(targets.depth, depth)
        boxes = sample.warp.move_boxes(sample.objects.boxes2d[targets.rows.numpy()])
        np.testing.assert_allclose(targets.bboxes.numpy(), boxes, atol=1e-3)
        picture = draw_sample(packed["inputs"].permute(1, 2, 0).numpy(), sample, dataset.metainfo["classes"])
        assert picture.shape[1] == 560
        assert isinstance(sample.calibration, KittiCalibration)


def test_lidar_stereo_and_depth_when_asked_for(sample_data):
    pipeline = [dict(type="LoadKittiFrame", with_depth=True), dict(type="PackKittiFrame")]
    settings = dict(with_right=True, with_velodyne=True, pipeline=pipeline, test_mode=True)
    dataset = build(sample_data / "kitti", ann_file="ImageSets/test.txt", folder="testing", **settings)
    sample = dataset[0]["data_samples"]
    assert sample.right.shape == dataset[0]["inputs"].shape
    assert sample.points.shape[1] == 4
    known = sample.depth_map[sample.depth_map > 0]
    assert 0.01 < known.numel() / sample.depth_map.numel() < 0.1
    assert 2 < known.min() < known.max() < 130
    assert not hasattr(sample, "gt_instances")


def test_depth_of_a_pixel_is_that_of_its_nearest_point():
    calibration = KittiCalibration.pinhole(100.0, (50.0, 40.0))
    cloud = np.array([[10.0, 0, 0], [5, 0, 0], [20, 0, 0], [-5, 0, 0], [10, 4, 0], [10, 90, 0]])
    depth_map = lidar_depth_map(cloud, calibration, (101, 81))
    assert depth_map[40, 50] == 5
    assert depth_map[40, 10] == 10  # 4 m to the left
    assert np.count_nonzero(depth_map) == 2


def test_frames_without_the_classes_can_be_left_out(sample_data):
    everything = build(sample_data / "kitti", ann_file="ImageSets/trainval.txt")
    settings = dict(ann_file="ImageSets/trainval.txt", filter_cfg=dict(filter_empty_gt=True))
    cyclists = build(sample_data / "kitti", classes=("Cyclist",), **settings)
    assert 0 < len(cyclists) < len(everything) == 12
    for data in cyclists:
        assert "Cyclist" in data["data_samples"].objects.names
    with pytest.raises(DataError, match="none of its 12 frames has an object of the classes Tram"):
        build(sample_data / "kitti", classes=("Tram",), **settings)


def test_classes_are_compared_without_case_as_by_the_evaluator(sample_data, tmp_path):
    root = tmp_path / "kitti"
    shutil.copytree(sample_data / "kitti", root)
    settings = dict(ann_file="ImageSets/trainval.txt", filter_cfg=dict(filter_empty_gt=True))
    kept = len(build(root, **settings))
    for label in (root / "training" / "label_2").iterdir():
        label.write_text(label.read_text().replace("Car", "car").replace("Pedestrian", "pedestrian"))
    assert len(build(root, **settings)) == kept > 0


def test_labels_as_predictions_through_the_evaluator(sample_data):
    dataset = build(sample_data / "kitti", ann_file="ImageSets/val.txt", test_mode=True)
    root = sample_data / "kitti"
    metric = dict(
        type="KittiMetric",
        label_folder=str(root / "training/label_2"),
        image_set=str(root / "ImageSets/val.txt"),
    )
    evaluator = Evaluator(metric)
    for packed in dataset:
        sample = packed["data_samples"]
        objects: KittiObjects = sample.objects
        sample.predictions = objects.select(np.array(objects.names) != "DontCare").with_scores(0.9)
        evaluator.process([sample])
    figures = evaluator.evaluate(len(dataset))
    frames = (root / "ImageSets/val.txt").read_text().split()
    labels = [read_objects(root / f"training/label_2/{frame}.txt") for frame in frames]
    results = [frame.select(np.array(frame.names) != "DontCare").with_scores(0.9) for frame in labels]
    expected = evaluate(labels, results).flat()
    assert max(expected.values()) > 10
    assert figures == pytest.approx({f"kitti/{name}": value for name, value in expected.items()})


def test_missing_files_and_wrong_arguments(root):
    (root / "training/image_2/000000.png").unlink()
    with pytest.raises(DataError, match=r"image_2/000000.png does not exist, but .*train.txt lists"):
        build(root)
    with pytest.raises(DataError, match=r"velodyne/000000.bin does not exist|image_2/000000"):
        build(root, with_velodyne=True)
    with pytest.raises(ConfigError, match="'Cra'; did you mean 'Car'"):
        build(root, classes=("Cra",))
    with pytest.raises(ConfigError, match="'train'"):
        build(root, folder="train")
    with pytest.raises(DataError, match="data root does not exist"):
        build(root / "nowhere")


def test_a_faulty_label_or_calibration_stops_at_once(root):
    label = root / "training/label_2/000000.txt"
    text = label.read_text()
    label.write_text(text + "Car 1 2 3\n")
    with pytest.raises(DataError, match=r"label_2/000000.txt, line 2 has 4 fields"):
        build(root)
    label.write_text(text)
    calibration = root / "training/calib/000000.txt"
    lines = calibration.read_text().splitlines()
    calibration.write_text("\n".join([*lines[:2], "P2: 1 2 3", *lines[3:]]))
    with pytest.raises(DataError, match=r"calib/000000.txt, line 3: P2 has 3 values"):
        build(root)


def test_the_scan_before_training_reads_everything(root):
    cfg = dict(type="KittiDataset", data_root=str(root), ann_file="ImageSets/train.txt")
    (report,) = scan_dataset(cfg)
    assert report.ok
    assert report.found == 4
    (root / "training/calib/000000.txt").unlink()
    (report,) = scan_dataset(cfg)
    assert "calib/000000.txt: the calibration file does not exist" in str(report.faults[0])


def test_objects_that_give_no_target_are_told_of_before_training(sample_data, tmp_path):
    """As with labels of another camera, or in other units."""
    root = tmp_path / "kitti"
    shutil.copytree(sample_data / "kitti", root)
    cfg = dict(type="KittiDataset", data_root=str(root), ann_file="ImageSets/trainval.txt")
    cfg["pipeline"] = [dict(type="EncodeMonoTargets")]
    assert not scan_dataset(cfg)[0].notes
    for calibration in (root / "training" / "calib").iterdir():
        text = calibration.read_text()
        row = next(line for line in text.splitlines() if line.startswith("P2:"))
        other = "P2: 9000 0 2000 0 0 9000 900 0 0 0 1 0"
        calibration.write_text(text.replace(row, other))
    (report,) = scan_dataset(cfg)
    (note,) = report.notes
    assert report.ok and note.rule == "few-targets" and "are not learned" in note.value
    assert not scan_dataset({**cfg, "pipeline": []})[0].notes


def test_a_cut_off_image_is_named(root):
    image = root / "training/image_2/000000.png"
    image.write_bytes(image.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"image_2/000000.png"):
        list(build(root))
    assert len(list(build(root, skip_bad_samples=True))) == 4  # the next frame stands in


def test_what_would_not_move_along_is_refused(tmp_path):
    warp = TRANSFORMS.build(dict(type="RandomKittiWarp"))
    results = {"img": np.zeros((10, 20, 3), np.uint8), "points": np.zeros((1, 4)), "img_path": "000000.png"}
    with pytest.raises(DataError, match="points does not move along"):
        warp(results)
    Image.fromarray(results["img"]).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="a depth map needs with_velodyne=True"):
        TRANSFORMS.build(dict(type="LoadKittiFrame", with_depth=True))({"img_path": str(tmp_path / "a.png")})
