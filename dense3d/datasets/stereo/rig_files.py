"""The two kinds of text that calibrations come in: named rows of numbers, and OpenCV's FileStorage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dense3d.errors import DataError


def parse_named_rows(text: str) -> dict[str, np.ndarray]:
    """``NAME: number number ...`` lines; those with other values (dates) are passed over.

    Raises:
        DataError: a name is given twice.

    Example:
        >>> parse_named_rows("calib_time: 09-Jan-2012\\nS_02: 1392 512")
        {'S_02': array([1392.,  512.])}
    """
    rows: dict[str, np.ndarray] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, values = line.partition(":")
        if not colon:
            name, _, values = line.strip().partition(" ")
        try:
            found = np.array([float(value) for value in values.split()])
        except ValueError:
            continue
        name = name.strip()
        if not found.size:
            continue
        if name in rows:
            raise DataError(f"line {number}: {name} is given twice")
        rows[name] = found
    return rows


def opencv_nodes(path: Path) -> dict[str, Any]:
    """Matrices, numbers and lists of numbers at the top of a file of OpenCV's FileStorage.

    Raises:
        DataError: OpenCV cannot read it.
    """
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        opened = storage.isOpened()
    except (cv2.error, SystemError) as error:
        raise DataError(f"{path}: OpenCV cannot read it ({_last_line(error)})") from None
    if not opened:
        raise DataError(f"{path}: OpenCV cannot read it; a YAML file of its begins with %YAML:1.0")
    try:
        root = storage.root()
        return {name: _value(root.getNode(name)) for name in root.keys()}  # noqa: SIM118 - no mapping
    except (cv2.error, SystemError) as error:
        raise DataError(f"{path}: OpenCV cannot read it ({_last_line(error)})") from None
    finally:
        storage.release()


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:200]


def _value(node: Any) -> Any:
    if node.isInt() or node.isReal():
        return node.real()
    if node.isString():
        return node.string()
    if node.isSeq():
        return [_value(node.at(index)) for index in range(node.size())]
    if node.isMap():
        matrix = node.mat()
        return matrix if matrix is not None else {}
    return None
