"""A mesh from rendered depth: a truncated signed distance of all views (Curless and Levoy, SIGGRAPH 1996).

Open3D fuses the depth maps and finds the surface. Coordinates are those of the poses as they were read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.files import atomic_write
from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.splats.views import SplatView
from dense3d.structures.cloud_files.meshes import TriangleMesh
from dense3d.structures.cloud_files.open3d_files import quiet_open3d

TRUNCATION = 4  # voxels
LEAST_ALPHA = 0.5  # what is less opaque has no surface
EDGE = 0.1  # depth that changes by more within three pixels lies between two surfaces
PIXELS = 2.0  # that a voxel covers at the median distance, by default


@torch.no_grad()
def rendered_depth(gaussians: Gaussians, view: SplatView) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8 and depth (H, W) float32 along the optical axis, 0 where there is no surface."""
    image, alpha, _ = gaussians.render(
        view.viewmat()[None],
        view.intrinsics()[None],
        view.camera.width,
        view.camera.height,
        render_mode="RGB+ED",
    )
    depth = torch.where(alpha[0, ..., 0] >= LEAST_ALPHA, image[0, ..., 3], 0).cpu().numpy()
    return _bytes(image[0, ..., :3]), np.where(_is_edge(depth), 0, depth).astype(np.float32)


def mesh_of(gaussians: Gaussians, views: Sequence[SplatView], voxel: float) -> TriangleMesh:
    """The surface that the views see, with colours, in the world of the poses.

    Args:
        gaussians: the scene.
        views: cameras that depth is rendered for.
        voxel: side of a voxel, in the units of the poses.

    Raises:
        ConfigError: the voxel's side is not positive.
        DataError: no view sees a surface.
    """
    if not 0 < voxel < np.inf:
        raise ConfigError(f"voxel={voxel}: the side of a voxel is positive, in the units of the poses")
    with quiet_open3d() as open3d:
        volume = open3d.pipelines.integration.ScalableTSDFVolume(
            voxel_length=voxel,
            sdf_trunc=TRUNCATION * voxel,
            color_type=open3d.pipelines.integration.TSDFVolumeColorType.RGB8,
        )
        for view in views:
            image, depth = rendered_depth(gaussians, view)
            pair = open3d.geometry.RGBDImage.create_from_color_and_depth(
                open3d.geometry.Image(np.ascontiguousarray(image)),
                open3d.geometry.Image(np.ascontiguousarray(depth)),
                depth_scale=1.0,
                depth_trunc=1e9,
                convert_rgb_to_intensity=False,
            )
            size = (view.camera.width, view.camera.height)
            lens = open3d.camera.PinholeCameraIntrinsic(*size, view.camera.intrinsics)
            volume.integrate(pair, lens, view.camera.world_to_camera)
        mesh = volume.extract_triangle_mesh()
        found = TriangleMesh(
            np.asarray(mesh.vertices), np.asarray(mesh.triangles, np.int64), np.asarray(mesh.vertex_colors)
        )
    if not len(found.triangles):
        raise DataError(f"no surface was found with voxels of {voxel:g}: fit longer, or take smaller voxels")
    return found


def usual_voxel(gaussians: Gaussians, views: Sequence[SplatView]) -> float:
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
