"""Files of optical flow: Middlebury's .flo, KITTI's 16-bit png, Scene Flow's three-channel pfm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dense3d.datasets.stereo.pfm import read_bytes, read_pfm
from dense3d.datasets.stereo.pictures import read_numbers, write_numbers
from dense3d.errors import DataError
from dense3d.files import atomic_write

TAG = np.float32(202021.25)  # the bytes PIEH
LIMIT = 1e9  # what Middlebury's writers store for unknown flow is larger


def read_flo(path: str | Path) -> np.ndarray:
    """Flow of a .flo file.

    Returns:
        (H, W, 2) float32, ``inf`` where the file marks it unknown.

    Raises:
        DataError: the file is missing, no .flo file or cut off.
    """
    content = read_bytes(path)
    if len(content) < 12 or np.frombuffer(content, "<f4", 1)[0] != TAG:
        raise DataError(f"{path} begins with {content[:4]!r}, not with b'PIEH': it is no .flo file")
    width, height = (int(n) for n in np.frombuffer(content, "<i4", 2, offset=4))
    if width < 1 or height < 1 or len(content) != 12 + 8 * width * height:
        raise DataError(
            f"{path}: flow of {width} x {height} pixels needs {12 + 8 * width * height} bytes, but the file "
            f"has {len(content)}: it is cut off or damaged; download it again"
        )
    return known_flow(np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2).astype(np.float32))


def write_flo(path: str | Path, flow: np.ndarray) -> None:
    """Write flow (H, W, 2), unknown where it is not finite, whole or not at all."""
    flow = np.asarray(flow, dtype=np.float32)
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise DataError(f"{path}: flow is (H, W, 2), not {flow.shape}")
    known = np.isfinite(flow).all(axis=2, keepdims=True)
    with atomic_write(path) as file:
        file.write(TAG.astype("<f4").tobytes() + np.array(flow.shape[1::-1], "<i4").tobytes())
        file.write(np.where(known, flow, 2 * LIMIT).astype("<f4").tobytes())


def read_kitti_flow(path: str | Path) -> np.ndarray:
    """KITTI's png: ``(value - 2^15) / 64`` in red (u) and green (v), known where blue is not 0.

    Returns:
        (H, W, 2) float32, ``inf`` where unknown.

    Raises:
        DataError: the file is missing, damaged, or no RGB png of 16 bits.
    """
    stored = read_numbers(path, bits=16, channels=3)
    flow = (stored[..., :2].astype(np.float32) - 32768) / 64
    flow[stored[..., 2] == 0] = np.inf
    return flow


def write_kitti_flow(path: str | Path, flow: np.ndarray) -> None:
    """Write flow (H, W, 2) as KITTI's png.

    Raises:
        DataError: a known flow lies outside of -512 to 511.98 pixels.
    """
    flow = np.asarray(flow, dtype=np.float64)
    known = np.isfinite(flow).all(axis=2, keepdims=True)
    stored = np.rint(np.where(known, flow, -512) * 64 + 32768)
    if stored.min() < 0 or stored.max() > 65535:
        raise DataError(f"{path}: KITTI's format holds flow from -512 to 511.98 pixels; write .flo instead")
    write_numbers(path, np.concatenate([stored, known], axis=2).astype(np.uint16))


def read_flow_pfm(path: str | Path) -> np.ndarray:
    """Scene Flow's pfm: u and v in the first two of three channels.

    Returns:
        (H, W, 2) float32, ``inf`` where unknown.
    """
    values = read_pfm(path)
    if values.ndim != 3:
        raise DataError(f"{path} has one channel, but flow has two and pfm then three: is it disparity?")
    return known_flow(values[..., :2])


def known_flow(flow: np.ndarray) -> np.ndarray:
    """Flow (H, W, 2) with both components ``inf`` where either is not finite or beyond :data:`LIMIT`."""
    with np.errstate(invalid="ignore"):
        known = (np.abs(flow) < LIMIT).all(axis=2)
    return np.where(known[..., None], flow, np.float32(np.inf))
