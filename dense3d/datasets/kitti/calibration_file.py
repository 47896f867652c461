"""Calibration files: a line a matrix, ``NAME: v v v ...`` row by row, in any order."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write
from dense3d.structures.kitti_calibration import SHAPES, KittiCalibration, matrix_fault

NO_RIG = {
    "R0_rect": np.eye(3),
    "Tr_velo_to_cam": np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]),
    "Tr_imu_to_velo": np.eye(3, 4),
}

# how the tracking benchmark spells the names
SYNONYMS = {"R_rect": "R0_rect", "Tr_velo_cam": "Tr_velo_to_cam", "Tr_imu_velo": "Tr_imu_to_velo"}


def read_calibration(path: str | Path, needed: Collection[str] = tuple(SHAPES)) -> KittiCalibration:
    """Read a calibration file; lines with other names are passed over.

    Args:
        path: the file.
        needed: matrices that must be there, ``P2`` among them. In place of others that are not, all cameras
            are camera 2, the camera's frame is the rectified one, and the lidar stands in the camera.

    Raises:
        DataError: the file is missing, lacks a matrix that is needed or has one twice, or a matrix has the
            wrong number of values, a value that is no finite number, or no inverse. The message names file
            and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(
            f"{path}: the calibration file does not exist; unpack data_object_calib.zip"
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as text ({error}); restore the file") from None
    found: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        key = fields[0].removesuffix(":")
        name = SYNONYMS.get(key, key)
        if name not in SHAPES:
            continue
        if name in found:
            raise DataError(f"{path}, line {number}: {name} is given twice")
        found[name] = _matrix(f"{path}, line {number}", name, fields[1:])
    missing = [name for name in SHAPES if name in needed and name not in found]
    if missing:
        others = len(needed) == len(SHAPES) and "P2" in found
        hint = "; where only P2 is known, set p2_only=True in the data set" if others else ""
        raise DataError(f"{path} has no matrix {missing[0]}; a calibration has {', '.join(needed)}{hint}")
    defaults = dict.fromkeys(("P0", "P1", "P3"), found["P2"])
    return KittiCalibration(**{**defaults, **NO_RIG, **found})


def write_calibration(path: str | Path, calibration: KittiCalibration) -> None:
    """Write a calibration file as KITTI does: twelve decimals, an empty line at the end."""
    rows = [
        f"{name}: {' '.join(f'{value:.12e}' for value in matrix.ravel())}\n"
        for name, matrix in calibration.matrices().items()
    ]
    with atomic_write(path, "w") as file:
        file.writelines([*rows, "\n"])


def _matrix(where: str, name: str, fields: list[str]) -> np.ndarray:
    rows, columns = SHAPES[name]
    if len(fields) != rows * columns:
        raise DataError(f"{where}: {name} has {len(fields)} values, not {rows} x {columns}")
    values = []
    for field in fields:
        try:
            values.append(float(field))
        except ValueError:
            raise DataError(f"{where}: {name} holds {field!r}, which is no number") from None
    matrix = np.array(values).reshape(rows, columns)
    fault = matrix_fault(name, matrix, (rows, columns))
    if fault:
        raise DataError(f"{where}: {fault}; restore the file")
    return matrix
