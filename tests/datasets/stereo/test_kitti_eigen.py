"""KITTI's raw layout and lists of frames, on the real frame that has both images and a lidar scan."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from dense3d.datasets.kitti import read_calibration
from dense3d.datasets.kitti.velodyne import lidar_depth_map, read_velodyne, write_velodyne
from dense3d.datasets.stereo import read_picture, write_scaled_png
from dense3d.datasets.stereo.velodyne_depth import lidar_projection, velodyne_depth
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS

DATE, DRIVE, FRAME = "2011_09_26", "2011_09_26_drive_0002_sync", f"{69:010d}"
LOAD = [dict(type="LoadStereo", with_disparity=True)]


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope("dense3d"):
        yield


def row(name, matrix):
    return f"{name}: {' '.join(f'{value:.12e}' for value in np.ravel(matrix))}\n"


@pytest.fixture(scope="module")
def calibration(sample_data):
    return read_calibration(sample_data / "kitti/testing/calib/000000.txt")


@pytest.fixture
def raw(sample_data, calibration, tmp_path):
    """The testing frame in the layout of the raw data, every eighth of its points."""
    drive, source = tmp_path / DATE / DRIVE, sample_data / "kitti/testing"
    for camera, folder in (("02", "image_2"), ("03", "image_3")):
        place = drive / f"image_{camera}/data"
        place.mkdir(parents=True)
        shutil.copyfile(source / folder / "000000.png", place / f"{FRAME}.png")
    points = read_velodyne(source / "velodyne/000000.bin")[::8]
    write_velodyne(drive / f"velodyne_points/data/{FRAME}.bin", points)
    text = "calib_time: 09-Jan-2012 13:57:47\n" + row("S_rect_02", [1242, 375])
    text += row("R_rect_00", calibration.R0_rect)
    text += row("P_rect_02", calibration.P2) + row("P_rect_03", calibration.P3)
    (tmp_path / DATE / "calib_cam_to_cam.txt").write_text(text)
    lidar = calibration.Tr_velo_to_cam
    (tmp_path / DATE / "calib_velo_to_cam.txt").write_text(row("R", lidar[:, :3]) + row("T", lidar[:, 3]))
    (tmp_path / "split.txt").write_text(f"{DATE}/{DRIVE} 69 l\n{DATE}/{DRIVE} {FRAME} r\n")
    return tmp_path


def build(root, **settings):
    settings = dict(split_file="split.txt", pipeline=LOAD) | settings
    return DATASETS.build(dict(type="KittiEigenDepth", data_root=str(root), **settings))


def eigen_by_loop(points, projection, size):
    """The protocol point by point, as its text says it."""
    depth = np.zeros(size, dtype=np.float64)
    for x, y, z, _ in points.astype(np.float64):
        if x < 0:
            continue
        u, v, w = projection @ [x, y, z, 1]
        if w == 0:
            continue
        column, line = round(u / w) - 1, round(v / w) - 1
        if 0 <= column < size[1] and 0 <= line < size[0] and x > 0:
            depth[line, column] = min(x, depth[line, column] or np.inf)
    return depth


def test_projection_is_that_of_the_object_benchmark(sample_data, calibration, raw):
    scan = sample_data / "kitti/testing/velodyne/000000.bin"
    points = read_velodyne(scan)
    truth = lidar_depth_map(points, calibration, (1242, 375))
    np.testing.assert_array_equal(velodyne_depth(points, lidar_projection(scan, 2), (375, 1242)), truth)
    right = velodyne_depth(points, lidar_projection(scan, 3), (375, 1242))
    np.testing.assert_array_equal(right, lidar_depth_map(points, calibration, (1242, 375), camera=3))
    same = lidar_projection(raw / DATE / DRIVE / f"velodyne_points/data/{FRAME}.bin", 2)
    np.testing.assert_allclose(same, lidar_projection(scan, 2), rtol=1e-9)


def test_slips_of_the_eigen_protocol(sample_data):
    scan = sample_data / "kitti/testing/velodyne/000000.bin"
    points, projection = read_velodyne(scan)[::40], lidar_projection(scan, 2)
    found = velodyne_depth(points, projection, (375, 1242), "eigen")
    np.testing.assert_allclose(found, eigen_by_loop(points, projection, (375, 1242)), rtol=1e-6)
    exact = velodyne_depth(points, projection, (375, 1242))
    both = (found[:-1, :-1] > 0) & (exact[1:, 1:] > 0)  # one pixel further left and up
    assert both.sum() > 0.9 * (exact > 0).sum()
    # the lidar stands 0.27 m behind the camera
    assert np.median(found[:-1, :-1][both] - exact[1:, 1:][both]) == pytest.approx(0.27, abs=0.05)
    with pytest.raises(ConfigError, match="protocol must be one of"):
        velodyne_depth(points, projection, (375, 1242), "monodepth")


def test_frames_of_both_cameras(raw, calibration):
    dataset = build(raw)
    left, right = dataset[0], dataset[1]
    assert left["reference"] == "left" and right["reference"] == "right"
    assert left["left_path"] == right["right_path"] and "image_02" in left["left_path"]
    assert left["rig"].baseline == pytest.approx(calibration.baseline)
    assert dataset.get_data_info(1)["sample_id"] == f"{DATE}/{DRIVE}/{FRAME}_r"
    for sample in (left, right):  # the scan fits the images: their difference is smaller at its disparity
        sign = 1 if sample["reference"] == "right" else -1
        rows, columns = np.nonzero(np.isfinite(sample["disparity"]))
        matches = np.rint(columns + sign * sample["disparity"][rows, columns]).astype(int)
        inside = (matches >= 0) & (matches < 1242)
        rows, columns, matches = rows[inside], columns[inside], matches[inside]
        first = sample["left"][rows, columns].astype(float)
        errors = [
            np.abs(first - sample["right"][rows, np.clip(matches + move, 0, 1241)]).mean()
            for move in (0, 6, sign * 12)
        ]
        assert errors[0] < 0.8 * min(errors[1:])


def test_improved_depth(raw, tmp_path):
    place = tmp_path / f"depth/val/{DRIVE}/proj_depth/groundtruth/image_02"
    write_scaled_png(place / f"{FRAME}.png", np.where(np.indices((375, 1242))[1] % 5, 0, 12.5))
    dataset = build(raw, depth="improved", depth_root=str(tmp_path / "depth"))
    assert len(dataset) == 1  # nothing for the right camera
    depth = dataset[0]["depth"]
    assert sorted(np.unique(depth).tolist()) == [0, 12.5]
    with pytest.raises(DataError, match="none of its 2 frames has improved depth"):
        build(raw, depth="improved")


def test_lists_of_frames(raw):
    image = f"{DATE}/{DRIVE}/image_03/data/{FRAME}.png"
    (raw / "paths.txt").write_text(f"{image} {image.replace('image_03', 'image_02')}\n\n")
    assert build(raw, split_file=str(raw / "paths.txt"), depth=None)[0]["reference"] == "right"
    for text, sentence in (
        (f"{DATE}/{DRIVE} 69 x", "line 1: .* is not of the form"),
        ("", "lists no frame"),
        (f"{DATE}/{DRIVE} 70 l", r"0000000070.(png|jpg) does not exist"),
    ):
        (raw / "bad.txt").write_text(text)
        with pytest.raises(DataError, match=sentence):
            build(raw, split_file="bad.txt")
    with pytest.raises(DataError, match="set split_file to a text file"):
        build(raw, split_file="none.txt")


def test_object_benchmark_has_depth_of_its_scans(sample_data):
    dataset = DATASETS.build(
        dict(
            type="KittiStereo", data_root=str(sample_data / "kitti"), benchmark="object", split="testing",
            pipeline=LOAD,
        )
    )  # fmt: skip
    sample = dataset[0]
    assert sample["rig"].width == 1242 and 10_000 < (sample["depth"] > 0).sum() < 40_000
    assert np.isfinite(sample["disparity"]).sum() == (sample["depth"] > 0).sum()


def test_faults_of_raw_data(raw):
    calibrations = raw / DATE / "calib_velo_to_cam.txt"
    calibrations.write_text("R: 1 0 0 0 1 0 0 0 nan\nT: 0 0 0\n")
    with pytest.raises(DataError, match=r"calib_velo_to_cam.txt has no R of 3 x 3 finite numbers"):
        build(raw)[0]
    (raw / DATE / "calib_cam_to_cam.txt").unlink()
    with pytest.raises(DataError, match=r"its calibration .*calib_cam_to_cam.txt does not exist"):
        build(raw, pipeline=[dict(type="LoadStereo")])[0]
    assert read_picture(raw / DATE / DRIVE / f"image_02/data/{FRAME}.png").shape == (375, 1242, 3)
