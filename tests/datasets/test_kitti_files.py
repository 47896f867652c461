"""KITTI's files: what is read is written again, byte for byte, and faults are named with file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.kitti import (
    KittiObjects,
    format_objects,
    frame_id,
    list_frames,
    parse_objects,
    read_calibration,
    read_image_set,
    read_objects,
    read_velodyne,
    write_calibration,
    write_image_set,
    write_objects,
    write_results,
    write_velodyne,
)
from dense3d.datasets.kitti.results import write_submission
from dense3d.errors import DataError

LABEL = "Car 0.00 0 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57"
DONT_CARE = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"
RESULT = LABEL.replace("0.00 0", "-1 -1") + " 0.9123"


def fields(line: str, **changes: object) -> str:
    numbers = ["truncated", "occluded", "alpha", "left", "top", "right", "bottom", "h", "w", "l"]
    names = ["type", *numbers, "x", "y", "z", "ry", "score"]
    values = dict(zip(names, line.split())) | {name: str(value) for name, value in changes.items()}
    return " ".join(values.values())


def test_real_labels_come_out_as_they_were(sample_data, tmp_path):
    files = sorted((sample_data / "kitti/training/label_2").glob("*.txt"))
    assert len(files) == 12
    for file in files:
        write_objects(tmp_path / file.name, read_objects(file))
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_real_calibrations_come_out_as_they_were(sample_data, tmp_path):
    for file in sorted((sample_data / "kitti/training/calib").glob("*.txt")):
        write_calibration(tmp_path / file.name, read_calibration(file))
        # KITTI ends the file with an empty line, which one of the frames has lost
        assert (tmp_path / file.name).read_text() == file.read_text().rstrip("\n") + "\n\n"


def test_real_scans_and_splits_come_out_as_they_were(sample_data, tmp_path):
    scan = sample_data / "kitti/training/velodyne/000001.bin"
    points = read_velodyne(scan)
    assert points.shape[1] == 4
    assert 0 <= points[:, 3].min() <= points[:, 3].max() <= 1
    write_velodyne(tmp_path / "scan.bin", points)
    assert (tmp_path / "scan.bin").read_bytes() == scan.read_bytes()
    for name in ("train", "val", "trainval", "test"):
        split = sample_data / f"kitti/ImageSets/{name}.txt"
        write_image_set(tmp_path / "split.txt", read_image_set(split))
        assert (tmp_path / "split.txt").read_bytes() == split.read_bytes()


def test_fields_of_a_label():
    objects = parse_objects(f"{LABEL}\n\n{DONT_CARE}\n")
    assert objects.names == ("Car", "DontCare")
    assert (objects.truncated[0], objects.occluded[0], objects.alpha[0]) == (0, 0, 1.85)
    assert objects.boxes2d[0].tolist() == [387.63, 181.54, 423.81, 203.12]
    assert objects.dimensions[0].tolist() == [1.67, 1.87, 3.69]  # height, width, length
    assert objects.location[0].tolist() == [-16.53, 2.39, 58.49]
    assert objects.rotation_y[0] == 1.57
    assert objects.boxes3d[0].tolist() == [-16.53, 2.39, 58.49, 1.67, 1.87, 3.69, 1.57]
    assert objects.has_box3d.tolist() == [True, False]
    assert len(objects.select(np.array([False, True]))) == 1
    with pytest.raises(ValueError, match="no scores"):
        _ = objects.scores


def test_results_keep_every_digit():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(1, 60, (50, 13)), rng.standard_normal((50, 2)) * 1e-6], axis=1)
    values[:, :2] = -1
    objects = KittiObjects(("Car",) * 50, values)
    again = parse_objects(
        format_objects(KittiObjects(objects.names, np.sort(values, axis=1))), is_result=True
    )
    assert np.array_equal(again.values[:, 2:], np.sort(values, axis=1)[:, 2:])
    assert parse_objects(f"{RESULT}\n", is_result=True).scores.tolist() == [0.9123]
    assert format_objects(parse_objects(RESULT, is_result=True)) == RESULT + "\n"


def test_scores_turn_labels_into_results():
    objects = parse_objects(f"{LABEL}\n{LABEL}\n")
    assert objects.with_scores([0.25, 0.5]).scores.tolist() == [0.25, 0.5]
    assert objects.with_scores(1.0).with_scores(0.5).scores.tolist() == [0.5, 0.5]


def test_empty_files_are_frames_without_objects(tmp_path):
    (tmp_path / "000000.txt").write_text("")
    assert len(read_objects(tmp_path / "000000.txt")) == 0
    assert read_objects(tmp_path / "000000.txt", is_result=True).values.shape == (0, 15)
    assert format_objects(read_objects(tmp_path / "000000.txt")) == ""


BAD_LINES = {
    "fourteen fields": (LABEL.rsplit(" ", 1)[0], False, "has 14 fields, a label has 15"),
    "seventeen fields": (f"{RESULT} 1", True, "has 17 fields, a result has 16"),
    "a label as result": (LABEL, True, "has 15 fields, a result has 16; the score is missing"),
    "a result as label": (RESULT, False, "has 16 fields, a label has 15; is it a result file?"),
    "unknown class": (fields(LABEL, type="Cra"), False, "unknown class 'Cra'; did you mean 'Car'"),
    "no class at all": (fields(LABEL, type="17"), False, "unknown class '17'; known are Car, Van"),
    "a word": (fields(LABEL, x="left"), False, "x is 'left', which is no number"),
    "beyond float32": (fields(LABEL, top="-1e155"), False, "top is -1e+155; no pixel, metre or angle"),
    "NaN dimensions": (fields(LABEL, h="nan"), False, "height is nan; every field must be a finite number"),
    "infinite score": (fields(RESULT, score="inf"), True, "score is inf"),
    "zero dimensions": (fields(LABEL, w=0), False, "height x width x length is 1.67 x 0 x 3.69"),
    "negative dimensions": (fields(LABEL, l=-3), False, "dimensions must be positive"),
    "half of a 3D box": (fields(LABEL, h=-1, w=-1, l=-1), False, "dimensions must be positive"),
    "box inside out": (fields(LABEL, right=300), False, "its right side left of its left side"),
    "box upside down": (fields(LABEL, bottom=100), False, "its bottom above its top"),
    "occlusion": (fields(LABEL, occluded=4), False, "occluded is 4; it must be 0, 1, 2 or 3"),
    "truncation": (fields(LABEL, truncated=1.5), False, "truncated is 1.5; it must lie in 0..1"),
    "behind the camera": (fields(LABEL, z=-5), False, "lies wholly behind the camera"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_is_named(tmp_path, case):
    line, is_result, message = BAD_LINES[case]
    file = tmp_path / "000042.txt"
    good = RESULT if is_result else LABEL
    file.write_text(f"{good}\n\n{line}\n{good}\n")
    with pytest.raises(DataError) as error:
        read_objects(file, is_result)
    assert f"{file}, line 3" in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_box_that_reaches_before_the_camera_is_no_fault():
    assert len(parse_objects(fields(LABEL, z=-1, ry=1.57))) == 1  # its front lies at z = +0.8


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(DataError, match=r"000001.txt: the label file does not exist"):
        read_objects(tmp_path / "000001.txt")
    (tmp_path / "000002.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"000002.txt cannot be read as text"):
        read_objects(tmp_path / "000002.txt")


@pytest.fixture
def calibration_lines(sample_data) -> list[str]:
    return (sample_data / "kitti/training/calib/000001.txt").read_text().splitlines()


def test_calibration_in_another_order_and_spelling(tmp_path, calibration_lines, sample_data):
    expected = read_calibration(sample_data / "kitti/training/calib/000001.txt").matrices()
    text = "\n".join(["calib_time: 09-Jan-2012 13:57:47", *reversed(calibration_lines)])
    text = text.replace("R0_rect:", "R_rect").replace("Tr_velo_to_cam:", "Tr_velo_cam")
    (tmp_path / "calib.txt").write_text(text)
    for name, matrix in read_calibration(tmp_path / "calib.txt").matrices().items():
        assert np.array_equal(matrix, expected[name])


BAD_CALIBRATIONS = {
    "missing": (4, None, "has no matrix R0_rect"),
    "eleven values": (2, "P2: " + "1 " * 11, "line 3: P2 has 11 values, not 3 x 4"),
    "nine values": (2, "P2: 1 0 0 0 1 0 0 0 1", "line 3: P2 has 9 values, not 3 x 4"),
    "word": (2, "P2: " + "1 " * 11 + "x", "line 3: P2 holds 'x', which is no number"),
    "NaN": (2, "P2: " + "1 " * 11 + "nan", "line 3: P2 holds a value that is not finite"),
    "singular projection": (2, "P2: " + "1 " * 12, "line 3: P2 is singular"),
    "singular rotation": (4, "R0_rect: 1 0 0 0 1 0 1 1 0", "line 5: R0_rect is singular"),
    "zeros": (5, "Tr_velo_to_cam: " + "0 " * 12, "line 6: Tr_velo_to_cam is singular"),
    "twice": (3, "P2: " + "1 " * 12, "line 4: P2 is given twice"),
}


@pytest.mark.parametrize("case", BAD_CALIBRATIONS)
def test_a_bad_calibration_is_named(tmp_path, calibration_lines, case):
    index, line, message = BAD_CALIBRATIONS[case]
    calibration_lines[index : index + 1] = [] if line is None else [line]
    file = tmp_path / "000001.txt"
    file.write_text("\n".join(calibration_lines))
    with pytest.raises(DataError) as error:
        read_calibration(file)
    assert str(file) in str(error.value)
    assert message in str(error.value)


def test_a_missing_calibration(tmp_path):
    with pytest.raises(DataError, match=r"000001.txt: the calibration file does not exist"):
        read_calibration(tmp_path / "000001.txt")


def test_bad_scans(tmp_path):
    file = tmp_path / "000000.bin"
    file.write_bytes(b"0" * 30)
    with pytest.raises(DataError, match=r"000000.bin has 30 bytes, which is no multiple of 16"):
        read_velodyne(file)
    points = np.ones((3, 4), np.float32)
    points[1, 2] = np.nan
    file.write_bytes(points.tobytes())
    with pytest.raises(DataError, match="point 1 is"):
        read_velodyne(file)
    with pytest.raises(DataError, match="does not exist"):
        read_velodyne(tmp_path / "000001.bin")
    with pytest.raises(DataError, match=r"\(3, 3\)"):
        write_velodyne(file, points[:, :3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("000001\n000002\n000001\n", "line 3: frame 000001 is listed twice, first in line 1"),
        ("000001\n12\n", "line 2: '12' is no frame"),
        ("\n", "lists no frame"),
    ],
)
def test_bad_splits(tmp_path, text, message):
    file = tmp_path / "val.txt"
    file.write_text(text)
    with pytest.raises(DataError) as error:
        read_image_set(file)
    assert str(file) in str(error.value)
    assert message in str(error.value)
    with pytest.raises(DataError, match="does not exist"):
        read_image_set(tmp_path / "none.txt")
    with pytest.raises(DataError, match="twice"):
        write_image_set(file, ["000001", "000001"])
    assert file.read_text() == text


def test_frames_of_a_folder(tmp_path):
    for name in ("000003.txt", "000001.txt", "000002.png"):
        (tmp_path / name).touch()
    assert list_frames(tmp_path) == ["000001", "000003"]
    assert list_frames(tmp_path, ".png") == ["000002"]
    (tmp_path / "1.txt").touch()
    with pytest.raises(DataError, match=r"1.txt: files are named by six-digit frames"):
        list_frames(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        list_frames(tmp_path / "label_2")
    assert frame_id(42) == "000042"
    with pytest.raises(ValueError, match="1000000"):
        frame_id(1_000_000)


def results_of(*frames: str) -> dict[str, KittiObjects]:
    return {frame: parse_objects(RESULT, is_result=True) for frame in frames}


def test_results_are_written_for_every_frame(tmp_path):
    results = results_of("000003") | {"000001": parse_objects("", is_result=True)}
    write_results(tmp_path / "out", results, ["000001", "000003"])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["000001.txt", "000003.txt"]
    assert (tmp_path / "out/000001.txt").read_text() == ""
    assert (tmp_path / "out/000003.txt").read_text() == RESULT + "\n"


@pytest.mark.parametrize(
    ("results", "frames", "message"),
    [
        (results_of("000001"), ["000001", "000002"], "1 frames have no result, the first is 000002"),
        (results_of("000001", "000002"), ["000001"], "not asked for, the first is 000002"),
        ({"000001": parse_objects(LABEL)}, ["000001"], "frame 000001 have no scores"),
        (
            {"000001": parse_objects(LABEL).with_scores(np.nan)},
            ["000001"],
            "frame 000001, detection 0: score is nan",
        ),
    ],
)
def test_incomplete_or_faulty_results_leave_nothing(tmp_path, results, frames, message):
    with pytest.raises(DataError, match=message):
        write_results(tmp_path / "out", results, frames)
    assert list(tmp_path.iterdir()) == []


def test_results_do_not_mix_with_older_ones(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/000009.txt").touch()
    with pytest.raises(DataError, match="is not empty"):
        write_results(tmp_path / "out", results_of("000001"))


def test_a_submission_needs_all_test_frames(tmp_path):
    frames = [frame_id(n) for n in range(7518)]
    write_image_set(tmp_path / "test.txt", frames[:10])
    with pytest.raises(DataError, match="lists 10 frames; the server wants all 7518"):
        write_submission(tmp_path / "out", results_of(*frames[:10]), tmp_path / "test.txt")
    write_image_set(tmp_path / "test.txt", frames)
    empty = parse_objects("", is_result=True)
    write_submission(tmp_path / "out", dict.fromkeys(frames, empty), tmp_path / "test.txt")
    assert len(list(Path(tmp_path / "out/data").glob("*.txt"))) == 7518
