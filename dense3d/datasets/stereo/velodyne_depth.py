"""Depth maps of KITTI's lidar scans: one projection, all points at once, the nearest point of a pixel stays.

The protocol of D. Eigen et al. (NIPS 2014), by whose ground truth most of the numbers on KITTI were made, has
two slips, kept for comparability: it takes the lidar's forward coordinate for the depth, and takes one off
the pixel coordinates, as if they began at 1. ``"exact"`` has neither.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from dense3d.datasets.kitti.velodyne import read_velodyne
from dense3d.datasets.stereo.pfm import read_bytes
from dense3d.datasets.stereo.rig_files import parse_named_rows
from dense3d.errors import ConfigError, DataError
from dense3d.files import is_file

PROTOCOLS = ("eigen", "exact")


def velodyne_depth(
    points: np.ndarray, projection: np.ndarray, size: tuple[int, int], protocol: str = "exact"
) -> np.ndarray:
    """Sparse depth of a scan.

    Args:
        points: (N, 3) or (N, 4) in the lidar's frame (x forward), metres.
        projection: (3, 4) from that frame to pixels.
        size: height and width of the image.
        protocol: ``"eigen"`` or ``"exact"``, see above.

    Returns:
        (H, W) float32 metres, 0 where no point falls.

    Example:
        >>> projection = np.array([[2.0, -4, 0, 0], [2, 0, -4, 0], [1, 0, 0, 0]])  # focal length 4, centre 2
        >>> velodyne_depth(np.array([[8.0, 0, 0], [4, 0, 0]]), projection, (4, 4))[2].tolist()
        [0.0, 0.0, 4.0, 0.0]
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol must be one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    eigen = protocol == "eigen"
    if eigen:
        points = points[points[:, 0] >= 0]
    homogeneous = points[:, :3].astype(np.float64) @ projection[:, :3].T + projection[:, 3]
    depth = points[:, 0].astype(np.float64) if eigen else homogeneous[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.rint(homogeneous[:, :2] / homogeneous[:, 2:]) - (1 if eigen else 0)
        inside = ((pixels >= 0) & (pixels < np.array(size[::-1]))).all(axis=1) & (depth > 0)
    columns, rows = pixels[inside].astype(np.int64).T
    depth = depth[inside]
    order = np.argsort(-depth, kind="stable")  # of several assignments to a pixel the last, nearest one stays
    result = np.zeros(size, dtype=np.float32)
    result[rows[order], columns[order]] = depth[order]
    return result


def read_velodyne_depth(path: str | Path, form: str, size: tuple[int, int]) -> np.ndarray:
    """Depth of a scan in KITTI's raw data or in its object benchmark, calibrated by the files there.

    Args:
        path: ``DATE/DRIVE/velodyne_points/data/N.bin``, or ``velodyne/N.bin`` beside ``calib/N.txt``.
        form: ``velodyne/CAMERA`` or ``velodyne/CAMERA/PROTOCOL``, the camera 0 to 3.
        size: height and width of the image.

    Raises:
        ConfigError: another form.
        DataError: the scan or its calibration is missing or damaged.
    """
    _, camera, protocol = (*form.split("/"), "exact")[:3] if form.count("/") else ("", "", "")
    if camera not in ("0", "1", "2", "3"):
        raise ConfigError(f"{form!r} is no velodyne/CAMERA/PROTOCOL with a camera 0 to 3")
    return velodyne_depth(read_velodyne(path), lidar_projection(Path(path), int(camera)), size, protocol)


def lidar_projection(scan: Path, camera: int) -> np.ndarray:
    """(3, 4) from a scan's frame to the pixels of a rectified camera.

    Raises:
        DataError: the calibration is missing or lacks a matrix.
    """
    raw = scan.parents[3] if len(scan.parents) > 3 and scan.parent.name == "data" else None
    if raw is not None and is_file(raw / "calib_cam_to_cam.txt"):
        return _raw_projection(str(raw), camera)
    beside = scan.parent.parent / "calib" / f"{scan.stem}.txt"
    if is_file(beside):
        rows = _rows(beside)
        lidar, rectify = (("Tr_velo_to_cam", (3, 4)), ("R0_rect", (3, 3)))
        projection = _matrix(rows, f"P{camera}", (3, 4), beside)
        return projection @ _square(_matrix(rows, *rectify, beside)) @ _square(_matrix(rows, *lidar, beside))
    expected = f"{raw / 'calib_cam_to_cam.txt'}" if raw is not None else str(beside)
    raise DataError(f"{scan}: its calibration {expected} does not exist; unpack it there")


@lru_cache(maxsize=64)
def _raw_projection(folder: str, camera: int) -> np.ndarray:
    cameras, lidar = Path(folder) / "calib_cam_to_cam.txt", Path(folder) / "calib_velo_to_cam.txt"
    rows, moved = _rows(cameras), _rows(lidar)
    to_camera = np.eye(4)
    to_camera[:3, :3] = _matrix(moved, "R", (3, 3), lidar)
    to_camera[:3, 3] = _matrix(moved, "T", (3,), lidar)
    rectify = _square(_matrix(rows, "R_rect_00", (3, 3), cameras))
    return _matrix(rows, f"P_rect_{camera:02d}", (3, 4), cameras) @ rectify @ to_camera


def _rows(path: Path) -> dict[str, np.ndarray]:
    try:
        return parse_named_rows(read_bytes(path).decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text file, and so no calibration") from None
    except DataError as error:
        raise DataError(f"{path}: {error}" if not str(error).startswith(str(path)) else str(error)) from None


def _matrix(rows: dict[str, np.ndarray], name: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    values = rows.get(name)
    if values is None or values.size != np.prod(shape) or not np.isfinite(values).all():
        raise DataError(f"{path} has no {name} of {' x '.join(map(str, shape))} finite numbers")
    return values.reshape(shape)


def _square(matrix: np.ndarray) -> np.ndarray:
    square = np.eye(4)
    square[: matrix.shape[0], : matrix.shape[1]] = matrix
    return square
