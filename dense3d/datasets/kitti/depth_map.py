"""Sparse depth maps from lidar scans."""

from __future__ import annotations

import numpy as np

from dense3d.structures.kitti_calibration import KittiCalibration


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
