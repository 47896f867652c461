"""Each format gives the cameras that were written into it; what is missing is named."""

import json

import cv2
import numpy as np
import pytest
import yaml
from stereo.rig.photographs import cameras

from dense3d.errors import DataError
from dense3d.stereo.rig import calibration_faults, read_stereo_cameras

RIG = cameras()
SIZE = [RIG.width, RIG.height]


def opencv(path, names=("M1", "D1", "M2", "D2", "R", "T"), size=True, flags=0):
    values = [RIG.left, RIG.left_distortion, RIG.right, RIG.right_distortion, RIG.rotation, RIG.translation]
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE | flags)
    for name, value in zip(names, values):
        if name:
            storage.write(name, np.array(value))
    if size:
        storage.write("imageSize", np.array(SIZE))
    storage.release()


LONG = ("cameraMatrix1", "distCoeffs1", "cameraMatrix2", "distCoeffs2", "R", "T")


def plain(path):
    values = {"K1": RIG.left, "K2": RIG.right, "D1": RIG.left_distortion, "D2": RIG.right_distortion}
    values |= {"R": RIG.rotation, "T": RIG.translation}
    content = {name: value.tolist() for name, value in values.items()}
    content |= {"width": RIG.width, "height": RIG.height}
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))


def kalibr(path):
    def camera(matrix, distortion):
        intrinsics = [float(matrix[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2))]
        return {
            "camera_model": "pinhole",
            "distortion_model": "radtan",
            "distortion_coeffs": distortion[:4].tolist(),
            "intrinsics": intrinsics,
            "resolution": SIZE,
        }

    between = np.eye(4)
    between[:3, :3], between[:3, 3] = RIG.rotation, RIG.translation
    content = {"cam0": camera(RIG.left, RIG.left_distortion), "cam1": camera(RIG.right, RIG.right_distortion)}
    content["cam1"]["T_cn_cnm1"] = between.tolist()
    path.write_text(yaml.safe_dump(content))


def kitti(path):
    away = cv2.Rodrigues(np.array([0.1, 0.2, -0.1]))[0]  # camera 0 to camera 2
    shift = np.array([0.06, -0.01, 0.02])
    rows = {"calib_time": None, "corner_dist": [0.0995]}
    for number, matrix, distortion, rotation, translation in (
        ("02", RIG.left, RIG.left_distortion, away, shift),
        (
            "03",
            RIG.right,
            RIG.right_distortion,
            RIG.rotation @ away,
            RIG.rotation @ shift + RIG.translation,
        ),
    ):
        rows |= {f"S_{number}": SIZE, f"K_{number}": matrix, f"D_{number}": distortion}
        rows |= {f"R_{number}": rotation, f"T_{number}": translation}
    lines = (
        f"{name}: " + ("09-Jan-2012 13:57:47" if row is None else " ".join(map(repr, np.ravel(row).tolist())))
        for name, row in rows.items()
    )
    path.write_text("\n".join(lines))


@pytest.mark.parametrize(
    "name, write",
    [
        ("stereo.yaml", opencv),
        ("stereo.xml", opencv),
        ("stereo.yml", lambda path: opencv(path, LONG)),
        ("plain.json", plain),
        ("plain.yaml", plain),
        ("camchain.yaml", kalibr),
        ("calib_cam_to_cam.txt", kitti),
    ],
)  # fmt: skip
def test_formats(tmp_path, name, write):
    write(tmp_path / name)
    found = read_stereo_cameras(tmp_path / name)
    assert [found.width, found.height] == SIZE
    for field in ("left", "right", "rotation", "translation"):
        np.testing.assert_allclose(getattr(found, field), getattr(RIG, field), atol=1e-9, err_msg=field)
    np.testing.assert_allclose(found.left_distortion[:4], RIG.left_distortion[:4])


def test_a_size_that_the_file_lacks_is_that_of_the_photographs(tmp_path):
    opencv(tmp_path / "stereo.yaml", size=False)
    assert read_stereo_cameras(tmp_path / "stereo.yaml", (480, 320)).width == 480
    with pytest.raises(DataError, match="does not say the image size"):
        read_stereo_cameras(tmp_path / "stereo.yaml")


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("absent.yaml", None, "no such calibration file"),
        ("notes.pdf", "x", "is .yaml, .yml, .xml or .json"),
        ("broken.json", "{", "no readable JSON"),
        ("broken.yaml", "a: [1,", "no readable YAML"),
        ("list.json", "[1]", "named entries"),
        (
            "rig.json",
            json.dumps(dict(focal=1, baseline=1, cx=1, cy=1, width=2, height=2)),
            "rectified already: give it to dense3d infer as --calib",
        ),
        ("rectified.json", json.dumps({"R1": [1], "R2": [1], "P1": [1], "P2": [1]}), "R1, R2, P1 and P2"),
        ("rows.txt", "P0: 1 0 0\nP2: 2 0 0", "no raw calibration of two cameras"),
        ("words.json", json.dumps({"K1": "left"}), "not what its name says"),
        ("opencv.yaml", "%YAML:1.0\n---\nM1: !!opencv-matrix\n   rows: 3\n   cols: 3\n", "opencv.yaml"),
    ],
)
def test_files_that_are_none_are_refused_in_a_sentence(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words) as error:
        read_stereo_cameras(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"left": np.eye(2)}, "shape"),
        ({"right": np.full((3, 3), np.nan)}, "not finite"),
        ({"rotation": 2 * np.eye(3)}, "no rotation matrix"),
        ({"translation": np.zeros(3)}, "no baseline"),
        ({"left_distortion": np.zeros(3)}, "3 coefficients"),
    ],
)
def test_matrices_that_no_camera_has_are_refused(changes, words):
    with pytest.raises(DataError, match=words):
        cameras(**changes)


def test_sound_calibrations_have_no_fault_and_others_are_named():
    assert calibration_faults(RIG, *SIZE) == []
    (millimetres,) = calibration_faults(RIG.with_unit(1000), *SIZE)
    assert "the baseline is 200.062 m" in millimetres and "--unit mm" in millimetres
    (scaled,) = calibration_faults(RIG, 960, 640)
    assert "--scale-intrinsics" in scaled
    (cropped,) = calibration_faults(RIG, 480, 300)
    assert "another shape" in cropped
    twice = np.diag([2.0, 2.0, 1.0]) @ RIG.left
    (foreign,) = calibration_faults(cameras(left=twice), *SIZE)
    assert "left camera's principal point" in foreign and "about 940x652" in foreign


@pytest.mark.parametrize("factor", [0.5, 0.75, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0])
def test_intrinsics_of_photographs_at_another_size_are_named(factor):
    scale = np.diag([factor, factor, 1.0])
    faults = calibration_faults(cameras(left=scale @ RIG.left, right=scale @ RIG.right), *SIZE)
    assert len(faults) == 2 and all("its intrinsics are of another size" in fault for fault in faults)
    assert f"about {round(2 * factor * 235)}x{round(2 * factor * 163)}" in faults[0]


@pytest.mark.parametrize("left", [(222, 163), (262, 149), (240, 180), (258, 172)])
def test_principal_points_that_differ_as_those_of_real_lenses(left):
    """Up to 0.06 of a side off the middle, in directions of their own."""
    matrix = np.array([[420.0, 0, left[0]], [0, 422, left[1]], [0, 0, 1]])
    assert calibration_faults(cameras(left=matrix), *SIZE) == []
