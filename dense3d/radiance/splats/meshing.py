"""A mesh from rendered depth: a truncated signed distance of all views (Curless and Levoy, SIGGRAPH 1996).

Open3D fuses the depth maps and finds the surface. Coordinates are those of the poses as they were read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.files import atomic_write
from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.views import PosedView
from dense3d.structures.cloud_files.meshes import TriangleMesh
from dense3d.structures.cloud_files.open3d_files import quiet_open3d

TRUNCATION = 2.0  # voxels: wider ones meet around thin things, and leave flaps at outlines
LEAST_VIEWS = 3  # that see a voxel
BLOCK, BLOCKS = 8, 10_000  # voxels along a block, and blocks that memory is set aside for at first
LEAST_ALPHA = 0.5  # what is less opaque has no surface
EDGE = 0.1  # depth that changes by more within three pixels lies between two surfaces
PIXELS = 2.0  # that a voxel covers at the median distance, by default


@torch.no_grad()
def rendered_depth(gaussians: Gaussians, view: PosedView) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8 and depth (H, W) float32 along the optical axis, 0 where there is no surface."""
    image, alpha, _ = gaussians.render(
        view.viewmat()[None],
        view.intrinsics()[None],
        view.camera.width,
        view.camera.height,
        render_mode="RGB+ED",
    )
    depth = torch.where(alpha[0, ..., 0] >= LEAST_ALPHA, image[0, ..., 3], 0).cpu().numpy()
    colors = image[0, ..., :3] / alpha[0].clamp(min=1e-3)  # without the black behind them
    return _bytes(colors), np.where(_is_edge(depth), 0, depth).astype(np.float32)


def mesh_of(gaussians: Gaussians, views: Sequence[PosedView], voxel: float) -> TriangleMesh:
    """The surface that the views see, with colours, in the world of the poses.

    Args:
        gaussians: the scene.
        views: cameras that depth is rendered for.
        voxel: side of a voxel, in the units of the poses.

    Raises:
        ConfigError: the voxel's side is not positive.
        DataError: no view sees a surface.
    """
    require_voxel(voxel)
    with quiet_open3d() as open3d:
        tensor, image_of = open3d.core.Tensor, open3d.t.geometry.Image
        grid = open3d.t.geometry.VoxelBlockGrid(
            attr_names=("tsdf", "weight", "color"),
            attr_dtypes=(open3d.core.float32,) * 3,
            attr_channels=(1, 1, 3),
            voxel_size=voxel,
            block_resolution=BLOCK,
            block_count=BLOCKS,
            device=open3d.core.Device("CPU:0"),
        )
        for view in views:
            image, depth = rendered_depth(gaussians, view)
            if not depth.any():
                continue
            camera = tensor(view.camera.intrinsics.copy()), tensor(view.camera.world_to_camera.copy())
            pictures = image_of(depth), image_of(image.astype(np.float32) / 255)
            limits = (1.0, float(depth.max()) + 1, TRUNCATION)  # scale and end of depth
            blocks = grid.compute_unique_block_coordinates(pictures[0], *camera, *limits)
            grid.integrate(blocks, *pictures, *camera, *limits)
        found = _extracted(grid, min(LEAST_VIEWS, len(views)) - 0.5)
    if not len(found.triangles):
        raise DataError(f"no surface was found with voxels of {voxel:g}: fit longer, or take smaller voxels")
    return found


def require_voxel(side: float) -> None:
    """See that the side of a voxel can be one.

    Raises:
        ConfigError: it is not positive.
    """
    if not 0 < side < np.inf:
        raise ConfigError(f"voxel={side}: the side of a voxel is positive, in the units of the poses")


def _extracted(grid: Any, weight: float) -> TriangleMesh:
    try:
        mesh = grid.extract_triangle_mesh(weight_threshold=weight).to_legacy()
    except RuntimeError:  # of a grid without a block
        return TriangleMesh(np.empty((0, 3)), np.empty((0, 3), np.int64), np.empty((0, 3)))
    return TriangleMesh(
        np.asarray(mesh.vertices), np.asarray(mesh.triangles, np.int64), np.asarray(mesh.vertex_colors)
    )


def usual_voxel(gaussians: Gaussians, views: Sequence[PosedView]) -> float:
    """Side of a voxel that covers two pixels at the median distance; smaller ones leave gaps between rays.

    Raises:
        DataError: no view sees a surface.
    """
    sides = []
    for view in views:
        depth = rendered_depth(gaussians, view)[1]
        if (depth > 0).any():
            sides.append(float(np.median(depth[depth > 0])) / view.camera.intrinsics[0, 0])
    if not sides:
        raise DataError("no photograph sees a surface that is at least half opaque: fit longer")
    return PIXELS * float(np.median(sides))


def write_mesh(mesh: TriangleMesh, path: str | os.PathLike) -> None:
    """Write a binary ply with colours, whole or not at all."""
    vertex = np.dtype([("place", "<f4", 3), ("color", "u1", 3)])
    face = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
    vertices, faces = np.empty(len(mesh.vertices), vertex), np.empty(len(mesh.triangles), face)
    vertices["place"], vertices["color"] = mesh.vertices, np.rint(np.clip(mesh.colors, 0, 1) * 255)
    faces["count"], faces["corners"] = 3, mesh.triangles
    header = [
        *("ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"),
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        *(f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"),
    ]
    with atomic_write(Path(path)) as file:
        file.write(("\n".join(header) + "\n").encode() + vertices.tobytes() + faces.tobytes())


def _is_edge(depth: np.ndarray) -> np.ndarray:
    """(H, W) bool: depth changes a lot within three pixels, so that it may be the mean of two surfaces."""
    known = depth > 0
    low = cv2.erode(np.where(known, depth, np.float32(np.inf)), np.ones((3, 3)))
    high = cv2.dilate(depth, np.ones((3, 3)))
    return known & (high - low > EDGE * low)


def _bytes(image: Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().cpu().numpy()
