"""Detectors of 3D boxes on image files: calibrations are found, result files and pictures are written."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import dense3d
from dense3d.apis import build_model, evaluate_kitti, infer
from dense3d.apis import test as evaluate
from dense3d.config import load_config
from dense3d.datasets.kitti import read_calibration, read_objects
from dense3d.datasets.synthetic import make_dataset
from dense3d.errors import ConfigError, DataError
from dense3d.visualization.boxes3d import LABEL_COLOUR

CONFIG = """
_base_ = {base!r}
root = {root!r}
synthetic_data = dict(root=root, train=3, val=3, size=(320, 96))
train_dataloader = dict(dataset=dict(data_root=root))
val_dataloader = dict(batch_size=2, dataset=dict(data_root=root))
test_dataloader = dict(batch_size=2, dataset=dict(data_root=root))
val_evaluator = dict(label_folder=root + "training/label_2", image_set=root + "ImageSets/val.txt")
test_evaluator = val_evaluator
model = dict(num_queries=10, test_cfg=dict(max_per_img=5, score_thr=0.0))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("streets")
    make_dataset(folder / "data", layouts=("kitti",), train=3, val=3, size=(320, 96))
    return folder


@pytest.fixture(scope="module")
def config(folder, repository) -> Path:
    path = folder / "config.py"
    base = str(repository / "configs/synthetic/monodetr_r18_synthetic-kitti.py")
    path.write_text(CONFIG.format(base=base, root=f"{folder}/data/"))
    return path


@pytest.fixture(scope="module")
def checkpoint(config, folder) -> Path:
    """Random weights, so that predictions differ from query to query, but sizes that a box can have."""
    torch.manual_seed(0)
    cfg = load_config(config)
    model = build_model(cfg)
    torch.nn.init.constant_(model.heads[-1].size.layers[-1].bias, 2.0)
    meta = dict(dataset_meta=dict(classes=("Pedestrian", "Car", "Cyclist")))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), folder / "random.pth")
    return folder / "random.pth"


@pytest.fixture(scope="module")
def images(folder) -> list[Path]:
    frames = (folder / "data/ImageSets/val.txt").read_text().split()
    return [folder / f"data/training/image_2/{frame}.png" for frame in frames]


def test_images_give_what_the_data_set_gives(config, checkpoint, images, folder):
    evaluate(config, checkpoint, folder / "tested", folder / "drawn", work_dir=folder / "work")
    report = infer(config, checkpoint, images, folder / "inferred", score_threshold=0.0, batch_size=2)
    for image, picture in zip(images, report.pictures):
        lines = read_objects(report.results / f"{image.stem}.txt", is_result=True)
        expected = read_objects(folder / f"tested/predictions/{image.stem}.txt", is_result=True)
        assert len(lines) == 5
        assert lines.names == expected.names
        np.testing.assert_allclose(lines.values, expected.values, rtol=1e-4, atol=1e-3)
        assert cv2.imread(str(picture)).shape == (384, 1536, 3)  # four times as large, and 256 from above
    green = [green_pixels(folder / f"{name}/{images[0].stem}.jpg") for name in ("drawn", "inferred/pictures")]
    assert green[0] > 10 * max(1, green[1])  # the data set alone knows labels


def green_pixels(path: Path) -> int:
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    return int((np.abs(picture - LABEL_COLOUR).sum(-1) < 60).sum())


def test_only_confident_boxes_are_written(config, checkpoint, images, tmp_path):
    name = f"{images[0].stem}.txt"
    report = infer(config, checkpoint, images[:1], tmp_path / "all", score_threshold=0.0)
    limit = float(np.sort(read_objects(report.results / name, is_result=True).scores)[-3])
    report = infer(config, checkpoint, images[:1], tmp_path / "few", score_threshold=limit - 1e-6)
    assert len(read_objects(report.results / name, is_result=True)) == 3


def test_calibrations_come_from_where_they_are_said_to_be(config, checkpoint, images, folder, tmp_path):
    calibrations = folder / "data/training/calib"
    alone = tmp_path / "photos" / images[0].name
    alone.parent.mkdir()
    shutil.copy(images[0], alone)
    found = []
    for name, given in (("folder", calibrations), ("file", calibrations / f"{alone.stem}.txt")):
        report = infer(config, checkpoint, [alone], tmp_path / name, 0.0, calibration=given)
        found.append((report.results / f"{alone.stem}.txt").read_text())
    beside = infer(config, checkpoint, images[:1], tmp_path / "beside", score_threshold=0.0)
    assert (beside.results / f"{alone.stem}.txt").read_text() == found[0] == found[1] != ""
    with pytest.raises(DataError, match=f"{alone.name} has no calibration: .*calib.*--calib"):
        infer(config, checkpoint, [alone], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_arrays_take_calibrations_as_files_do(config, checkpoint, images, folder):
    predictor = dense3d.load(config, checkpoint, device="cpu", score_threshold=0.0)
    calibrations = [read_calibration(folder / f"data/training/calib/{image.stem}.txt") for image in images]
    expected = predictor(images)
    arrays = [cv2.imread(str(image))[..., ::-1] for image in images]
    for one, other in zip(predictor(arrays, calibration=calibrations), expected, strict=True):
        assert one.to_kitti() == other.to_kitti() != ""
        assert np.array_equal(one.plot(), other.plot())
    alone = predictor(arrays[0], calibration=folder / f"data/training/calib/{images[0].stem}.txt")
    assert alone.boxes3d.tensor.tolist() == expected[0].boxes3d.tensor.tolist()
    with pytest.raises(DataError, match="image-0 is no file, so that no calibration is found by its name"):
        predictor(arrays[0])
    with pytest.raises(DataError, match=f"1 calibrations for {len(images)} images"):
        predictor(arrays, calibration=calibrations[:1])


def test_impossible_boxes_are_dropped_and_counted_by_test_and_infer_alike(config, images, folder, tmp_path):
    torch.manual_seed(0)
    model = build_model(load_config(config))
    torch.nn.init.constant_(model.heads[-1].size.layers[-1].bias, 0.0)  # about half of the sizes are negative
    meta = dict(dataset_meta=dict(classes=("Pedestrian", "Car", "Cyclist")))
    weak = tmp_path / "weak.pth"
    torch.save(dict(meta=meta, state_dict=model.state_dict()), weak)
    evaluate(config, weak, tmp_path / "tested", work_dir=tmp_path / "work")
    report = infer(config, weak, images, tmp_path / "inferred", score_threshold=0.0)
    written = [
        [read_objects(place / f"{image.stem}.txt", is_result=True) for image in images]
        for place in (tmp_path / "tested/predictions", report.results)
    ]
    assert list(map(len, written[0])) == list(map(len, written[1]))
    assert report.dropped == 5 * len(images) - sum(map(len, written[1])) > 0
    log = next((tmp_path / "work").glob("*/*.log")).read_text()
    assert f"{report.dropped} of {5 * len(images)} detections cannot be and are left out" in log
    # What both wrote is what the evaluation takes, from the folders that were named.
    labels, split = folder / "data/training/label_2", folder / "data/ImageSets/val.txt"
    results = [evaluate_kitti(labels, tmp_path / name, image_set=split) for name in ("tested", "inferred")]
    assert results[0].detections == results[1].detections == sum(map(len, written[1]))


def test_faulty_calls_are_told(config, checkpoint, images, folder, repository, tmp_path):
    with pytest.raises(ConfigError, match="--tta merges 2D boxes"):
        infer(config, checkpoint, images, tmp_path, tta=True)
    flat = repository / "configs/synthetic/detr_r18_synthetic-coco.py"
    with pytest.raises(ConfigError, match="no detector of 3D boxes: leave --calib out"):
        infer(flat, checkpoint, images, tmp_path, calibration=folder)
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions/000000.txt").touch()
    with pytest.raises(DataError, match="predictions is not empty"):
        evaluate(config, checkpoint, tmp_path, work_dir=tmp_path / "work")
