"""Calibrations of rectified rigs, in the files of the data sets, of OpenCV and of dense3d.

==================================  ======================================================================
``cam0=[f 0 cx; ...]``, ``doffs=``  Middlebury 2014, 2021, MiddEval3 and ETH3D; the baseline is in millimetres
``P2: ...``, ``P3: ...``            KITTI object, stereo 2012, odometry; they tell no image size
``P_rect_02: ...``                  KITTI raw and stereo 2015 (``calib_cam_to_cam``)
``P_rect_101: ...``                 DrivingStereo
``.json``                           dense3d's own: the fields of :class:`~dense3d.structures.RectifiedRig`
``.yaml``, ``.yml``, ``.xml``       OpenCV's FileStorage with ``P1``, ``P2`` or ``Q`` of ``stereoRectify``,
                                    or with ``proj_matL``, ``proj_matR`` in millimetres (Booster)
==================================  ======================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.stereo.pfm import read_bytes
from dense3d.datasets.stereo.rig_files import opencv_nodes, parse_named_rows
from dense3d.errors import DataError, did_you_mean
from dense3d.files import atomic_write
from dense3d.structures.rectified_rig import RectifiedRig

SHORTEST, LONGEST = 1e-3, 20.0  # metres: other baselines are in another unit
PAIRS = (("P2", "P3"), ("P_rect_02", "P_rect_03"), ("P_rect_101", "P_rect_103"))
GREY_PAIRS = (("P0", "P1"), ("P_rect_00", "P_rect_01"))


def read_rig(
    path: str | Path, size: tuple[int, int] | None = None, grey: bool = False, unit: float | None = None
) -> RectifiedRig:
    """A rig from any of the files above; the content tells which.

    Args:
        path: the file.
        size: width and height of the images. Needed where the file does not tell them.
        grey: the pair of KITTI's grey cameras 0 and 1, not of the colour cameras 2 and 3.
        unit: metres of the baseline's unit, 0.001 for millimetres; that of the format if None (metres for
            OpenCV's files).

    Raises:
        DataError: the file is missing or of no known kind, lacks something, holds nonsense, tells of images
            of another size than ``size``, or its cameras are exchanged or not rectified.
    """
    path = Path(path)
    content = read_bytes(path)
    try:
        rig = _read(path, content, size, grey, unit)
    except DataError as error:
        message = str(error)
        raise DataError(message if message.startswith(str(path)) else f"{path}: {message}") from None
    if size is not None and (rig.width, rig.height) != tuple(size):
        raise DataError(
            f"{path} belongs to images of {rig.width} x {rig.height} pixels, but these are {size[0]} x "
            f"{size[1]}: take the calibration of these images"
        )
    if not SHORTEST <= rig.baseline <= LONGEST:
        meant, taken = ("mm", "m") if rig.baseline > LONGEST else ("m", "mm")
        raise DataError(
            f"{path}: a baseline of {rig.baseline:g} m is hardly meant: correct it, or say that it is in "
            f"{meant}, not {taken} (--unit of the command, or unit={0.001 if meant == 'mm' else 1.0})"
        )
    return rig


def write_rig(path: str | Path, rig: RectifiedRig) -> None:
    """Write dense3d's own ``rig.json``, whole or not at all."""
    with atomic_write(path, "w") as file:
        json.dump(asdict(rig), file, indent=1)
        file.write("\n")


def rig_of_projections(
    left: np.ndarray, right: np.ndarray, size: tuple[int, int], unit: float = 1.0
) -> RectifiedRig:
    """The rig of two projection matrices after rectification.

    Args:
        left, right: (3, 4) from one frame, in the baseline's unit, to pixels.
        size: width and height of the images.
        unit: metres of that unit.

    Raises:
        DataError: the cameras are exchanged, or their focal lengths or rows differ.
    """
    focal = left[0, 0]
    if not np.isfinite(left).all() or not np.isfinite(right).all() or focal <= 0:
        raise DataError("a projection matrix holds no finite numbers or no focal length; restore the file")
    if abs(right[0, 0] - focal) > 1e-3 * focal or abs(right[1, 2] - left[1, 2]) > 0.5:
        raise DataError(
            f"the cameras are not rectified: focal lengths {focal:g} and {right[0, 0]:g}, rows of the "
            f"principal points {left[1, 2]:g} and {right[1, 2]:g}; dense3d rectify makes a rectified pair"
        )
    doffs = right[0, 2] - left[0, 2]
    # x_right = (f X + cx' Z + t') / Z and x_left = (f X + cx Z + t) / Z, in the frame of both matrices
    baseline = (left[0, 3] - right[0, 3]) / focal * unit
    if baseline <= 0:
        raise DataError(f"the baseline is {baseline:g} m: left and right are exchanged in it")
    return RectifiedRig(
        focal=float(focal),
        baseline=float(baseline),
        cx=float(left[0, 2]),
        cy=float(left[1, 2]),
        width=int(size[0]),
        height=int(size[1]),
        focal_y=float(left[1, 1]),
        doffs=float(doffs),
    )


def _read(
    path: Path, content: bytes, size: tuple[int, int] | None, grey: bool, unit: float | None
) -> RectifiedRig:
    if path.suffix.lower() == ".json":
        return _own(content, unit)
    if path.suffix.lower() in (".yaml", ".yml", ".xml"):
        return _opencv(path, size, unit)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("it is no text file, and so no calibration") from None
    if re.search(r"^\s*cam0\s*=", text, re.MULTILINE):
        return _middlebury(text, size, 0.001 if unit is None else unit)
    rows = parse_named_rows(text)
    for left, right in GREY_PAIRS if grey else PAIRS:
        if left in rows or right in rows:
            return _kitti(rows, left, right, size, 1.0 if unit is None else unit)
    known = (
        "cam0= (Middlebury, ETH3D), P2: and P3: (KITTI), P_rect_02: (KITTI raw), P_rect_101: (DrivingStereo)"
    )
    raise DataError(f"it has none of the lines {known}: it is no calibration of a known kind")


def _kitti(
    rows: dict[str, np.ndarray], left: str, right: str, size: tuple[int, int] | None, unit: float
) -> RectifiedRig:
    matrices = []
    for name in (left, right):
        if name not in rows or rows[name].size != 12:
            found = "no" if name not in rows else f"{rows[name].size} numbers of"
            raise DataError(f"it has {found} {name}; the 3 x 4 matrices {left} and {right} are needed")
        matrices.append(rows[name].reshape(3, 4))
    line = left.replace("P_rect", "S_rect") if left.startswith("P_rect") else None
    own = rows.get(line)
    if own is not None and own.size == 2:
        size = (int(own[0]), int(own[1]))
    elif line is not None and size is None:
        raise DataError(
            f"it has no line {line}, which tells the size of its images: restore the file, or add "
            f"'{line}: WIDTH HEIGHT' (pixels after rectification)"
        )
    return rig_of_projections(*matrices, _needed(size), unit)


def _middlebury(text: str, size: tuple[int, int] | None, unit: float) -> RectifiedRig:
    entries = dict(re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", text, re.MULTILINE))
    cameras = [_camera(entries, name) for name in ("cam0", "cam1")]
    numbers = {}
    for name in ("doffs", "baseline", "width", "height"):
        try:
            numbers[name] = float(entries[name])
        except KeyError:
            numbers[name] = None
        except ValueError:
            raise DataError(f"{name} = {entries[name]!r} is no number") from None
    if numbers["baseline"] is None:
        raise DataError("it has no line baseline=")
    if numbers["width"] is not None and numbers["height"] is not None:
        size = (int(numbers["width"]), int(numbers["height"]))
    shifted = [np.column_stack([camera, [0.0, 0.0, 0.0]]) for camera in cameras]
    shifted[1][0, 3] = -cameras[0][0, 0] * numbers["baseline"]
    rig = rig_of_projections(*shifted, _needed(size), unit)
    given = numbers["doffs"]
    if given is not None and abs(given - rig.doffs) > 0.01:
        raise DataError(
            f"doffs = {given:g}, but the principal points are {rig.doffs:g} apart: the numbers are of images "
            "of different sizes"
        )
    return rig


def _camera(entries: dict[str, str], name: str) -> np.ndarray:
    text = entries.get(name, "")
    try:
        rows = [[float(number) for number in row.split()] for row in text.strip("[]").split(";")]
        matrix = np.array(rows, dtype=np.float64)
    except ValueError:
        matrix = np.zeros(0)
    if matrix.shape != (3, 3):
        raise DataError(f"{name}={text} is no 3 x 3 matrix [f 0 cx; 0 f cy; 0 0 1]")
    return matrix


def _own(content: bytes, unit: float | None) -> RectifiedRig:
    try:
        entries = json.loads(content)
    except ValueError as error:
        raise DataError(f"it cannot be read as JSON ({error})") from None
    names = [field.name for field in fields(RectifiedRig)]
    if not isinstance(entries, dict):
        raise DataError(f"it must be an object with {', '.join(names)}")
    for name, value in entries.items():
        if name not in names:
            raise DataError(f"{name!r} is no field of a rig{did_you_mean(name, names)}")
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise DataError(f"{name} is {value!r}, which is no number")
    missing = [name for name in names[:6] if entries.get(name) is None]
    if missing:
        raise DataError(f"it lacks {', '.join(missing)}; a rig has {', '.join(names)}")
    for name in ("width", "height"):
        if entries[name] != int(entries[name]):
            raise DataError(f"{name} is {entries[name]!r}, which is no whole number")
        entries[name] = int(entries[name])
    if unit is not None:
        entries["baseline"] *= unit
    return RectifiedRig(**entries)


def _opencv(path: Path, size: tuple[int, int] | None, unit: float | None) -> RectifiedRig:
    nodes = opencv_nodes(path)
    size = _opencv_size(nodes) or size
    for names, usual in ((("P1", "P2"), 1.0), (("proj_matL", "proj_matR"), 0.001)):
        if not set(names) <= set(nodes):
            continue
        left, right = (np.asarray(nodes[name], dtype=np.float64) for name in names)
        if left.shape != (3, 4) or right.shape != (3, 4):
            raise DataError(f"{' and '.join(names)} are {left.shape} and {right.shape}, not (3, 4)")
        return rig_of_projections(left, right, _needed(size), usual if unit is None else unit)
    if "Q" in nodes:
        return _of_q(np.asarray(nodes["Q"], dtype=np.float64), _needed(size), 1.0 if unit is None else unit)
    if {"R", "T"} <= set(nodes) or any(
        name in nodes for name in ("D1", "distCoeffs1", "cameraMatrix1", "M1")
    ):
        raise DataError(
            "it describes cameras before rectification: dense3d rectify makes a rectified pair of it"
        )
    raise DataError("it has neither P1 and P2 nor Q, which OpenCV's stereoRectify gives")


def _of_q(q: np.ndarray, size: tuple[int, int], unit: float) -> RectifiedRig:
    if q.shape != (4, 4) or not np.isfinite(q).all() or q[3, 2] == 0:
        raise DataError("Q is no 4 x 4 matrix of stereoRectify")
    baseline = 1.0 / q[3, 2]
    left = np.array([[q[2, 3], 0, -q[0, 3], 0], [0, q[2, 3], -q[1, 3], 0], [0, 0, 1, 0]])
    right = left.copy()
    right[0, 2] += q[3, 3] * baseline  # Q[3, 3] = (cx' - cx) / baseline
    right[0, 3] = -q[2, 3] * baseline
    return rig_of_projections(left, right, size, unit)


def _opencv_size(nodes: dict[str, Any]) -> tuple[int, int] | None:
    for pair in (("image_width", "image_height"), ("width", "height"), ("imageWidth", "imageHeight")):
        if all(isinstance(nodes.get(name), (int, float)) for name in pair):
            return tuple(int(nodes[name]) for name in pair)
    for name in ("image_size", "imageSize", "size", "img_size"):
        value: Sequence | None = nodes.get(name)
        if value is not None and np.size(value) == 2:
            return tuple(int(number) for number in np.ravel(value))
    return None


def _needed(size: tuple[int, int] | None) -> tuple[int, int]:
    if size is None:
        raise DataError("it does not tell the size of the images: give it (size=(width, height))")
    return tuple(size)
