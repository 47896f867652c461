"""Lidar scans: flat little-endian float32, four numbers a point, and the sparse depth maps that they give."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write
from dense3d.structures.kitti_calibration import KittiCalibration

POINT_BYTES = 16


def read_velodyne(path: str | Path) -> np.ndarray:
    """Read a scan.

    Returns:
        (N, 4) float32: x forward, y left, z up in metres, reflectance 0..1.

    Raises:
        DataError: the file is missing, cut off, or holds values that are not finite.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: the lidar scan does not exist; unpack data_object_velodyne.zip") from None
    if len(content) % POINT_BYTES:
        raise DataError(
            f"{path} has {len(content)} bytes, which is no multiple of {POINT_BYTES} (four float32 a point); "
            "it was cut off or is no KITTI scan"
        )
    points = np.frombuffer(content, dtype="<f4").reshape(-1, 4)
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise DataError(f"{path}: point {bad[0]} is {points[bad[0]].tolist()}, which is not finite")
    return points.astype(np.float32)


def write_velodyne(path: str | Path, points: np.ndarray) -> None:
    """Write a scan, whole or not at all.

    Args:
        points: (N, 4) as :func:`read_velodyne` gives them.

    Raises:
        DataError: another shape.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 4:
        raise DataError(f"{path}: a scan is (N, 4), not {points.shape}")
    with atomic_write(path) as file:
        file.write(points.astype("<f4").tobytes())


def lidar_depth_map(
    points: np.ndarray, calibration: KittiCalibration, size: tuple[int, int], camera: int = 2
) -> np.ndarray:
    """Depth of the lidar points that fall into an image; the nearest where several meet in a pixel.

    Args:
        points: (N, 3) or (N, 4) in the lidar's frame, metres.
        calibration: of the frame.
        size: width and height of the image.
        camera: 2 left or 3 right.

    Returns:
        (H, W) float32 metres along the camera's axis, 0 where there is no point.
    """
    width, height = size
    pixels, depth = calibration.project(calibration.lidar_to_rect(points[:, :3]), camera)
    ahead = depth > 0
    columns, rows = np.rint(pixels[ahead]).astype(np.int64).T
    depth = depth[ahead]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows, depth = columns[inside], rows[inside], depth[inside]
    order = np.argsort(-depth, kind="stable")  # of several assignments to a pixel the last, nearest one stays
    depth_map = np.zeros((height, width), dtype=np.float32)
    depth_map[rows[order], columns[order]] = depth[order]
    return depth_map
