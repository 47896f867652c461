"""Cameras and boxes beside a grid, in the world of the photographs that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dense3d.datasets.posed_rgb.poses import OPENCV_FROM_OPENGL
from dense3d.errors import DataError
from dense3d.files import atomic_write
from dense3d.json_files import write_json
from dense3d.radiance.views import PosedView
from dense3d.structures.boxes3d import check_yaw
from dense3d.structures.cloud_files.arrays import load_npy
from dense3d.structures.radiance_grid import RadianceGrid


def write_cameras(views: Sequence[PosedView], path: Path) -> None:
    """The cameras of photographs as nerfstudio writes them: OpenGL axes, corner of the first pixel at 0.

    Sizes and intrinsics are those of the images that were fitted; poses are those that were read.
    """
    frames = []
    for view in views:
        camera = view.camera
        frames.append(
            {
                "file_path": view.name,
                "w": camera.width,
                "h": camera.height,
                "fl_x": camera.intrinsics[0, 0],
                "fl_y": camera.intrinsics[1, 1],
                "cx": camera.intrinsics[0, 2] + 0.5,
                "cy": camera.intrinsics[1, 2] + 0.5,
                "transform_matrix": (camera.camera_to_world @ OPENCV_FROM_OPENGL).tolist(),
            }
        )
    write_json(path, {"camera_model": "PINHOLE", "frames": frames})


def read_boxes(path: str | Path) -> np.ndarray:
    """Boxes of the world: (N, 6) corners, or (N, 7) centre, sizes and yaw about z.

    Raises:
        DataError: the file is no such array, a number is not finite, a size not positive, or a yaw in
            degrees.
    """
    boxes = load_npy(Path(path), mapped=False)
    boxes = np.atleast_2d(boxes) if boxes.size else np.empty((0, 7))
    if boxes.ndim != 2 or boxes.shape[1] not in (6, 7) or boxes.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: boxes are (N, 6) corners or (N, 7) centre, sizes and yaw, not {boxes.shape}"
        )
    boxes = boxes.astype(np.float64)
    if not np.isfinite(boxes).all():
        raise DataError(
            f"{path}: {int((~np.isfinite(boxes)).any(1).sum())} boxes are not finite; correct them"
        )
    sizes = boxes[:, 3:6] - boxes[:, :3] if boxes.shape[1] == 6 else boxes[:, 3:6]
    if len(sizes) and sizes.min() <= 0:
        raise DataError(f"{path}: box {int((sizes <= 0).any(1).argmax())} has a size that is not positive")
    check_yaw(boxes if boxes.shape[1] == 7 else None, path)
    return boxes


def write_boxes(boxes: np.ndarray, grid: RadianceGrid, path: Path) -> int:
    """Write boxes of the world in voxels of the grid, as NeRF-RPN has them.

    Returns:
        how many have their centre in the grid.
    """
    found = grid.boxes_to_voxel(boxes)
    with atomic_write(path) as file:
        np.save(file, found)
    centres = found[:, :3] if found.shape[1] == 7 else (found[:, :3] + found[:, 3:]) / 2
    return int(((centres >= 0) & (centres <= np.array(grid.resolution))).all(axis=1).sum())
