"""Portable float maps: disparity of Middlebury, ETH3D and Scene Flow, depth of many tools.

Only the sign of the header's scale counts: negative is little-endian. Data sets write there what they like
(Middlebury the inverse of the number of disparities), and multiplying by it gives wrong disparity.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write

_HEADER = re.compile(
    rb"(P[Ff])(?:[ \t\r]*#[^\n]*)?\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+"
    rb"([-+]?[0-9.]+(?:[eE][-+]?\d+)?)[ \t\r]*(?:#[^\n]*)?\n"
)


def read_pfm(path: str | Path) -> np.ndarray:
    """Values of a pfm file as they stand there, the top row first.

    Returns:
        (H, W) float32, or (H, W, 3) of a colour map.

    Raises:
        DataError: the file does not exist, is no pfm, or has not as many values as its header says.
    """
    content = read_bytes(path)
    header = _HEADER.match(content)
    if header is None:
        raise DataError(f"{path} begins with {content[:8]!r}, which is no header of a pfm file")
    kind, width, height, scale = header.groups()
    try:
        scale = float(scale)
    except ValueError:
        scale = 0.0
    if scale == 0 or not np.isfinite(scale):
        raise DataError(f"{path}: the scale in the header, {header[4].decode()}, tells no byte order")
    channels = 3 if kind == b"PF" else 1
    shape = (int(height), int(width), channels)
    there, needed = len(content) - header.end(), 4 * shape[0] * shape[1] * channels
    if there != needed or needed == 0:
        raise DataError(
            f"{path}: {shape[1]} x {shape[0]} values need {needed} bytes after the header, but there are "
            f"{there}: the file is cut off or damaged; write or download it again"
        )
    values = np.frombuffer(content, "<f4" if scale < 0 else ">f4", offset=header.end()).reshape(shape)
    return np.ascontiguousarray((values if channels == 3 else values[..., 0])[::-1], dtype=np.float32)


def write_pfm(path: str | Path, values: np.ndarray) -> None:
    """Write a little-endian pfm file, whole or not at all.

    Args:
        path: the file.
        values: (H, W) or (H, W, 3), the top row first; written as float32.

    Raises:
        DataError: another shape.
    """
    values = np.asarray(values)
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)) or not values.size:
        raise DataError(f"{path}: a pfm file holds (H, W) or (H, W, 3) values, not {values.shape}")
    kind = "PF" if values.ndim == 3 else "Pf"
    with atomic_write(path) as file:
        file.write(f"{kind}\n{values.shape[1]} {values.shape[0]}\n-1.0\n".encode())
        file.write(values[::-1].astype("<f4").tobytes())


def read_bytes(path: str | Path) -> bytes:
    """Content of a file.

    Raises:
        DataError: there is no such file, it cannot be read, or it is empty.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: download or restore it") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({(error.strerror or str(error)).lower()})") from None
    if not content:
        raise DataError(f"{path} has zero bytes: download or restore it")
    return content
