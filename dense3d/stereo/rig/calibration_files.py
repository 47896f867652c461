"""Calibrations of two cameras as calibration tools write them, into :class:`StereoCameras`.

Read are OpenCV's yaml, xml and json storage in the spellings of its samples and of common scripts, Kalibr's
``camchain.yaml``, and ``calib_cam_to_cam.txt`` of raw KITTI (cameras 2 and 3, or 0 and 1).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dense3d.errors import DataError
from dense3d.files import is_file
from dense3d.structures.stereo_cameras import StereoCameras

# What the matrices are called; compared without case, underscores and hyphens.
NAMES = {
    "left": ("M1", "K1", "cameraMatrix1", "mtxL", "leftCameraMatrix", "KL", "leftK", "leftIntrinsics"),
    "right": ("M2", "K2", "cameraMatrix2", "mtxR", "rightCameraMatrix", "KR", "rightK", "rightIntrinsics"),
    "left_distortion": ("D1", "distCoeffs1", "distL", "leftDistCoeffs", "DL", "leftDistortion", "leftD"),
    "right_distortion": ("D2", "distCoeffs2", "distR", "rightDistCoeffs", "DR", "rightDistortion", "rightD"),
    "rotation": ("R", "R12", "rotation"),
    "translation": ("T", "T12", "translation"),
}
SIZE_NAMES = ("imageSize", "image_size", "size", "resolution")
RECTIFIED = ("R1", "R2", "P1", "P2")
OWN = {"focal", "baseline", "cx", "cy"}  # of rig.json, which this command writes


def read_stereo_cameras(path: str | Path, size: tuple[int, int] | None = None) -> StereoCameras:
    """Read a calibration file.

    Args:
        path: of the file.
        size: (width, height) in pixels of the calibrated images, where the file does not say; a size that
            the file gives counts more.

    Raises:
        DataError: the file is missing, of no known format, or lacks a matrix; each is named.
    """
    path = Path(path)
    if not is_file(path):
        raise DataError(f"{path}: there is no such calibration file")
    if path.suffix.lower() == ".txt":
        return _kitti(path)
    if path.suffix.lower() not in (".yaml", ".yml", ".xml", ".json"):
        raise DataError(
            f"{path}: a calibration is .yaml, .yml, .xml or .json, or KITTI's calib_cam_to_cam.txt"
        )
    values = _stored(path)
    if set(values) >= OWN:
        raise DataError(
            f"{path}: this is the rig of pairs that are rectified already: give it to dense3d infer as "
            "--calib; rectification needs the calibration of the photographs"
        )
    if "cam0" in values and "cam1" in values:
        return _checked(path, lambda: _kalibr(path, values))
    return _checked(path, lambda: _opencv(path, values, size))


def _checked(path: Path, read: Callable[[], StereoCameras]) -> StereoCameras:
    try:
        return read()
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"{path}: an entry of this calibration is not what its name says ({error})"
        ) from error


def _stored(path: Path) -> dict[str, Any]:
    """Top-level entries; matrices as arrays."""
    if path.suffix.lower() == ".json":
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"{path}: no readable JSON ({error})") from error
    else:
        values = _from_opencv(path) if _is_opencv(path) else _from_yaml(path)
    if not isinstance(values, Mapping):
        raise DataError(f"{path}: a calibration has named entries, this file holds {type(values).__name__}")
    return dict(values)


def _is_opencv(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return head.lstrip().startswith((b"%YAML", b"<?xml")) or b"opencv-matrix" in head


def _from_opencv(path: Path) -> dict[str, Any]:
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        if storage.isOpened():
            return _entries(storage.root())
    except (cv2.error, SystemError) as error:
        raise DataError(f"{path}: OpenCV cannot read this file ({' '.join(str(error).split())})") from error
    raise DataError(f"{path}: OpenCV cannot read this file")


def _entries(root: cv2.FileNode) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in root.keys():  # noqa: SIM118  a FileNode is no dict
        node = root.getNode(name)
        if node.isMap():
            matrix = node.mat()
            if matrix is not None:
                values[name] = matrix
        elif node.isSeq():
            values[name] = [node.at(i).real() for i in range(node.size())]
        else:
            values[name] = node.string() if node.isString() else node.real()
    return values


def _from_yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: no readable YAML ({' '.join(str(error).split())})") from error


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _opencv(path: Path, values: Mapping[str, Any], size: tuple[int, int] | None) -> StereoCameras:
    known = {_plain(name): value for name, value in values.items()}
    found: dict[str, np.ndarray] = {}
    for field, names in NAMES.items():
        value = next((known[_plain(name)] for name in names if _plain(name) in known), None)
        if value is None and field.endswith("distortion"):
            value = np.zeros(0)
        if value is None:
            hint = (
                " (R1, R2, P1 and P2 are of rectified images, and not enough)"
                if all(_plain(name) in known for name in RECTIFIED)
                else ""
            )
            raise DataError(
                f"{path}: this calibration has no {field}; it may be called {', '.join(names)}{hint}"
            )
        found[field] = _matrix(value)
    width, height = _size(known) or size or (0, 0)
    if not width:
        raise DataError(
            f"{path}: this calibration does not say the image size: add imageSize: [width, height]"
        )
    if found["rotation"].size == 3:  # a rotation vector
        found["rotation"] = cv2.Rodrigues(found["rotation"].reshape(3))[0]
    return StereoCameras(int(width), int(height), **found)


def _matrix(value: Any) -> np.ndarray:
    if isinstance(value, Mapping) and "data" in value:  # OpenCV's matrix in plain YAML or JSON
        rows, cols = int(value.get("rows", 1)), int(value.get("cols", len(value["data"])))
        return np.array(value["data"], dtype=np.float64).reshape(rows, cols)
    return np.array(value, dtype=np.float64)


def _size(known: Mapping[str, Any]) -> tuple[int, int] | None:
    for name in SIZE_NAMES:
        value = known.get(_plain(name))
        if value is not None:
            width, height = (
                (value["width"], value["height"]) if isinstance(value, Mapping) else np.ravel(value)
            )
            return int(width), int(height)
    for width, height in (("width", "height"), ("imagewidth", "imageheight")):
        if width in known and height in known:
            return int(known[width]), int(known[height])
    return None


def _kalibr(path: Path, values: Mapping[str, Any]) -> StereoCameras:
    cameras = [values["cam0"], values["cam1"]]
    models = {(one["camera_model"], one.get("distortion_model", "none")) for one in cameras}
    if len(models) > 1 or models - {("pinhole", "radtan"), ("pinhole", "equidistant"), ("pinhole", "none")}:
        raise DataError(
            f"{path}: cameras of {sorted(models)}; read are pinhole with radtan or equidistant for both"
        )
    ((_, distortion),) = models

    def intrinsics(camera: Mapping[str, Any]) -> np.ndarray:
        fx, fy, cx, cy = camera["intrinsics"]
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float64)

    width, height = cameras[0]["resolution"]
    if list(cameras[1]["resolution"]) != [width, height]:
        raise DataError(f"{path}: the two cameras have images of different size")
    left_to_right = np.array(cameras[1]["T_cn_cnm1"], dtype=np.float64)
    return StereoCameras(
        int(width),
        int(height),
        *(intrinsics(one) for one in cameras),
        *(np.array(one.get("distortion_coeffs", ()) if distortion != "none" else ()) for one in cameras),
        rotation=left_to_right[:3, :3],
        translation=left_to_right[:3, 3],
        fisheye=distortion == "equidistant",
    )


def _kitti(path: Path) -> StereoCameras:
    rows: dict[str, np.ndarray] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, colon, numbers = line.partition(":")
        try:
            rows[name.strip()] = np.array([float(word) for word in numbers.split()] if colon else [])
        except ValueError:  # calib_time
            continue

    def read() -> StereoCameras:
        for left, right in (("02", "03"), ("00", "01")):
            wanted = [f"{kind}_{camera}" for camera in (left, right) for kind in "SKDRT"]
            if all(name in rows and rows[name].size for name in wanted):
                break
        else:
            raise DataError(
                "no raw calibration of two cameras: S, K, D, R and T of cameras 02 and 03 (or 00 and 01) are "
                "needed, as in calib_cam_to_cam.txt; a file with P0 to P3 belongs to rectified images"
            )
        # R and T take points of camera 0 into each camera's frame
        rotations = [rows[f"R_{camera}"].reshape(3, 3) for camera in (left, right)]
        places = [rows[f"T_{camera}"] for camera in (left, right)]
        rotation = rotations[1] @ rotations[0].T
        width, height = rows[f"S_{left}"]
        return StereoCameras(
            int(width),
            int(height),
            *(rows[f"K_{camera}"].reshape(3, 3) for camera in (left, right)),
            *(rows[f"D_{camera}"] for camera in (left, right)),
            rotation=rotation,
            translation=places[1] - rotation @ places[0],
        )

    return _checked(path, read)
