"""Clouds of photographs with depth and pose, as scans are put together from RGB-D frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.datasets.posed_rgb.frames import PosedFrame
from dense3d.errors import ConfigError
from dense3d.structures import PointCloud


def frame_cloud(frame: PosedFrame, stride: int = 1, zfar: float = np.inf) -> PointCloud:
    """The points of one frame's depth map in the world, with the colours of the photograph.

    Where depth has its own camera, as ScanNet's, a point takes the colour of the pixel nearest to where the
    photograph's camera sees it; points outside the photograph are left out.

    Args:
        frame: with depth.
        stride: take every so many rows and columns of the depth map.
        zfar: leave out what is further along the optical axis, in the units of the poses.

    Raises:
        ConfigError: ``stride`` is below 1.
        DataError: a file is missing or damaged, or of another size than its camera.
    """
    if stride < 1:
        raise ConfigError(f"stride={stride}: it is at least 1")
    depth, image = frame.read_depth()[::stride, ::stride], frame.read_image()
    rows, columns = np.nonzero((depth > 0) & (depth <= zfar))
    pixels = np.stack([columns, rows], axis=1) * float(stride)
    points = frame.depth_model.unproject(pixels, depth[rows, columns].astype(np.float64))
    seen, ahead = frame.project(points)
    ahead = ahead > 0
    seen = np.rint(np.where(ahead[:, None], seen, -1)).astype(np.int64)
    inside = ahead & (seen >= 0).all(axis=1) & (seen < image.shape[1::-1]).all(axis=1)
    x, y = seen[inside].T
    return PointCloud(points[inside], colors=image[y, x] / 255, name=str(frame.depth_path))


def frames_cloud(frames: Sequence[PosedFrame], stride: int = 1, zfar: float = np.inf) -> PointCloud:
    """The points of several frames, one after the other; arguments of :func:`frame_cloud`.

    Raises:
        ConfigError: there is no frame.
        DataError: as :func:`frame_cloud`.
    """
    if not frames:
        raise ConfigError("a cloud is made of at least one frame")
    clouds = [frame_cloud(frame, stride, zfar) for frame in frames]
    points, colors = (np.concatenate([getattr(c, name) for c in clouds]) for name in ("points", "colors"))
    return PointCloud(points, colors=colors, name=clouds[0].name)
