"""Calibrations of all kinds tell the same rig, and nonsense in them is named."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dense3d.datasets.stereo import read_rig, write_rig
from dense3d.errors import DataError
from dense3d.structures import RectifiedRig

RIG = RectifiedRig(focal=700.0, baseline=0.25, cx=320.0, cy=240.0, width=640, height=480, doffs=8.0)
P_LEFT = np.array([[700.0, 0, 320, 0], [0, 700, 240, 0], [0, 0, 1, 0]])
P_RIGHT = np.array([[700.0, 0, 328, -175], [0, 700, 240, 0], [0, 0, 1, 0]])


SIZE = "S_rect_02: 640 480\n"


def row(name, matrix):
    return f"{name}: {' '.join(f'{value:.9e}' for value in np.ravel(matrix))}\n"


def opencv_file(path, **nodes):
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in nodes.items():
        storage.write(name, value)
    storage.release()


def middlebury(**changes):
    lines = dict(
        cam0="[700 0 320; 0 700 240; 0 0 1]", cam1="[700 0 328; 0 700 240; 0 0 1]",
        doffs="8", baseline="250", width="640", height="480", ndisp="60",
    ) | changes  # fmt: skip
    return "".join(f"{name}={value}\n" for name, value in lines.items() if value is not None)


def test_every_kind_of_file_gives_the_rig(tmp_path):
    (tmp_path / "calib.txt").write_text(middlebury())
    (tmp_path / "kitti.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\n" + row("P2", P_LEFT) + row("P3", P_RIGHT)
    )
    (tmp_path / "raw.txt").write_text(
        "corner_dist: 9.95e-02\n"
        + row("S_rect_02", [640, 480])
        + row("P_rect_02", P_LEFT)
        + row("P_rect_03", P_RIGHT)
    )
    (tmp_path / "driving.txt").write_text(
        row("S_rect_101", [640, 480]) + row("P_rect_101", P_LEFT) + row("P_rect_103", P_RIGHT)
    )
    opencv_file(tmp_path / "p.yml", P1=P_LEFT, P2=P_RIGHT, image_width=640, image_height=480)
    q = np.array([[1, 0, 0, -320], [0, 1, 0, -240], [0, 0, 0, 700], [0, 0, 1 / 0.25, 8 / 0.25]])
    opencv_file(tmp_path / "q.xml", Q=q, imageSize=np.array([[640, 480]]))
    write_rig(tmp_path / "rig.json", RIG)
    for name in ("calib.txt", "kitti.txt", "raw.txt", "driving.txt", "p.yml", "q.xml", "rig.json"):
        rig = read_rig(tmp_path / name, (640, 480))
        for field, value in vars(RIG).items():
            assert getattr(rig, field) == pytest.approx(value, abs=1e-6), (name, field)
    assert read_rig(tmp_path / "rig.json") == RIG


def test_q_of_opencv_with_offset_cameras(tmp_path):
    """stereoRectify of cameras that look at one point: P1 and P2 say the same as Q."""
    camera = np.array([[700.0, 0, 310], [0, 700, 250], [0, 0, 1]])
    turn = cv2.Rodrigues(np.array([0, 0.05, 0.0]))[0]
    results = cv2.stereoRectify(
        camera, np.zeros(5), camera, np.zeros(5), (640, 480), turn, np.array([[-0.25], [0.01], [0]]), flags=0
    )
    opencv_file(tmp_path / "p.yml", P1=results[2], P2=results[3])
    opencv_file(tmp_path / "q.yml", Q=results[4])
    by_p, by_q = (read_rig(tmp_path / name, (640, 480)) for name in ("p.yml", "q.yml"))
    for field, value in vars(by_p).items():
        assert getattr(by_q, field) == pytest.approx(value, abs=1e-6), field
    assert by_p.doffs != 0


def test_real_calibrations(sample_data):
    rig = read_rig(sample_data / "kitti/testing/calib/000000.txt", (1242, 375))
    assert rig.focal == pytest.approx(721.5377) and rig.baseline == pytest.approx(0.5327, abs=1e-4)
    grey = read_rig(sample_data / "kitti/testing/calib/000000.txt", (1242, 375), grey=True)
    assert grey.baseline == pytest.approx(387.5744 / 721.5377)
    rig = read_rig(sample_data / "stereo/middlebury2014/trainingQ/Motorcycle/calib.txt")
    assert (rig.width, rig.height, rig.baseline) == (741, 497, pytest.approx(0.193001))
    assert rig.doffs == pytest.approx(32.778)
    with pytest.raises(DataError, match="belongs to images of 741 x 497 pixels, but these are 2964 x 1988"):
        read_rig(sample_data / "stereo/middlebury2014/trainingQ/Motorcycle/calib.txt", (2964, 1988))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", row("P2", P_LEFT), "it has no P3"),
        ("a.txt", row("P2", P_LEFT) + row("P3", P_RIGHT[:2]), "8 numbers of P3"),
        ("a.txt", row("P2", P_LEFT) + row("P2", P_LEFT), "line 2: P2 is given twice"),
        ("a.txt", row("P_rect_02", P_LEFT * np.nan) + row("P_rect_03", P_RIGHT) + SIZE, "no finite"),
        ("a.txt", row("P2", P_LEFT) + row("P3", P_RIGHT), "does not tell the size"),
        (
            "a.txt",
            row("P_rect_101", P_LEFT) + row("P_rect_103", P_RIGHT),
            "no line S_rect_101, .* add 'S_rect_101: WIDTH HEIGHT'",
        ),
        ("a.txt", "hello\n", "no calibration of a known kind"),
        ("a.txt", b"\xff\xfe\x00\x01", "no text file"),
        ("a.txt", middlebury(baseline=None), "no line baseline="),
        ("a.txt", middlebury(cam1="[700 0; 0 700]"), "is no 3 x 3 matrix"),
        ("a.txt", middlebury(doffs="16"), "doffs = 16, but the principal points are 8 apart"),
        ("a.txt", middlebury(baseline="-250"), "left and right are exchanged"),
        ("a.txt", middlebury(cam1="[700 0 328; 0 700 245; 0 0 1]"), "are not rectified"),
        ("a.txt", middlebury(cam1="[350 0 328; 0 350 240; 0 0 1]"), "are not rectified"),
        ("a.txt", middlebury(baseline="wide"), "baseline = 'wide' is no number"),
        ("a.txt", middlebury(baseline="250000"), "unit=0.001"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", "[1]", "must be an object with focal"),
        ("a.json", '{"focal": 1, "basline": 2}', "did you mean 'baseline'"),
        ("a.json", '{"focal": 1}', "it lacks baseline, cx, cy, width, height"),
        ("a.json", '{"focal": "1"}', "focal is '1', which is no number"),
        (
            "a.json",
            '{"focal": 1, "baseline": NaN, "cx": 1, "cy": 1, "width": 4, "height": 4}',
            "numbers must be finite",
        ),
        (
            "a.json",
            '{"focal": 1, "baseline": 1, "cx": 1, "cy": 1, "width": 4.5, "height": 4}',
            "no whole number",
        ),
        ("a.yml", "a: [1, 2", "OpenCV cannot read it"),
        ("a.yml", "%YAML:1.0\n---\nK1: 3\n", "neither P1 and P2 nor Q"),
        ("a.yml", "%YAML:1.0\n---\nR: 3\nT: 4\n", "before rectification: dense3d rectify"),
        ("a.yml", "%YAML:1.0\n---\nP1: 3\nP2: 4\n", r"not \(3, 4\)"),
    ],
)
def test_faults_of_calibrations(tmp_path, name, content, sentence):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=sentence) as caught:
        read_rig(path)
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match="does not exist"):
        read_rig(tmp_path / "none.txt")


def test_a_baseline_in_metres_where_millimetres_are_usual(tmp_path):
    (tmp_path / "calib.txt").write_text(middlebury(baseline="0.25"))
    with pytest.raises(DataError, match=r"a baseline of 0\.00025 m is hardly meant"):
        read_rig(tmp_path / "calib.txt")
    assert read_rig(tmp_path / "calib.txt", unit=1.0).baseline == pytest.approx(0.25)


def test_units_of_baselines(tmp_path):
    opencv_file(tmp_path / "p.yml", P1=P_LEFT, P2=P_RIGHT * np.array([1, 1, 1, 1000]))
    assert read_rig(tmp_path / "p.yml", (640, 480), unit=0.001).baseline == pytest.approx(0.25)
    with pytest.raises(DataError, match="a baseline of 250 m is hardly meant"):
        read_rig(tmp_path / "p.yml", (640, 480))
