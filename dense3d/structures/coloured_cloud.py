"""A coloured point cloud of what a camera sees, from its depth map."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.optional import require
from dense3d.structures.cloud_files import write_cloud
from dense3d.structures.point_cloud import PointCloud
from dense3d.structures.rectified_rig import RectifiedRig

PURPOSE = "point clouds"
NEIGHBOURS, DEVIATIONS = 20, 2.0  # of the test for isolated points


class ColouredCloud:
    """Points with colours.

    Args:
        points: ``(N, 3)`` metres, in the left camera's frame (x right, y down, z forward).
        colours: ``(N, 3)`` RGB uint8.
    """

    def __init__(self, points: np.ndarray, colours: np.ndarray) -> None:
        if points.shape != colours.shape or points.ndim != 2 or points.shape[1] != 3:
            raise DataError(f"a cloud has points and colours (N, 3), not {points.shape} and {colours.shape}")
        self.points, self.colours = points, colours

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def of_depth(
        cls,
        depth: np.ndarray,
        image: np.ndarray,
        rig: RectifiedRig,
        zfar: float | None = None,
        hidden: np.ndarray | None = None,
    ) -> ColouredCloud:
        """The points of a depth map.

        Args:
            depth: ``(H, W)`` metres; pixels that are not finite or not positive have no point.
            image: ``(H, W, 3)`` RGB uint8.
            rig: intrinsics, of this image size.
            zfar: leave out what is further away, metres.
            hidden: ``(H, W)`` bool, pixels that are left out, such as those the other camera does not see.

        Raises:
            DataError: the sizes differ.

        Example:
            >>> rig = RectifiedRig(focal=2.0, baseline=0.1, cx=0.5, cy=0.5, width=2, height=2)
            >>> cloud = ColouredCloud.of_depth(np.full((2, 2), 4.0), np.zeros((2, 2, 3), np.uint8), rig)
            >>> cloud.points[0].tolist()
            [-1.0, -1.0, 4.0]
        """
        height, width = depth.shape
        if image.shape[:2] != (height, width) or (rig.width, rig.height) != (width, height):
            raise DataError(
                f"depth is {width} x {height}, the image {image.shape[1]} x {image.shape[0]}, the rig of "
                f"{rig.width} x {rig.height}: they must be of one size"
            )
        chosen = np.isfinite(depth) & (depth > 0)
        if zfar is not None:
            chosen &= depth <= zfar
        if hidden is not None:
            chosen &= ~hidden
        rows, columns = np.nonzero(chosen)
        z = depth[rows, columns].astype(np.float64)
        x = (columns - rig.cx) / rig.focal * z
        y = (rows - rig.cy) / rig.focal_y * z
        return cls(np.stack([x, y, z], axis=1), image[rows, columns])

    def without_isolated(self) -> ColouredCloud:
        """Without points that are far from their neighbours, compared with all others (Open3D's test)."""
        if len(self) <= NEIGHBOURS:
            return self
        _, kept = self._open3d().remove_statistical_outlier(NEIGHBOURS, DEVIATIONS)
        return ColouredCloud(self.points[kept], self.colours[kept])

    def _open3d(self):
        open3d = require("open3d", PURPOSE)
        cloud = open3d.geometry.PointCloud()
        cloud.points = open3d.utility.Vector3dVector(np.ascontiguousarray(self.points))
        cloud.colors = open3d.utility.Vector3dVector(self.colours / 255.0)
        return cloud

    def save(self, path: str | Path) -> Path:
        """Write a ``.ply`` file, whole or not at all.

        Raises:
            DataError: another suffix, or there is no point.
        """
        path = Path(path)
        if path.suffix.lower() != ".ply":
            raise DataError(f"{path}: a cloud is written as .ply")
        if not len(self):
            raise DataError(f"{path}: no point is left to be written; raise zfar, or keep what is hidden")
        return write_cloud(PointCloud(self.points, colors=self.colours / 255.0), path)
