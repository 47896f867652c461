"""What is made of fitted splats at the end: a video and a mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.optional import require
from dense3d.radiance.orbit import FRAMES_PER_SECOND, SECONDS, orbit, require_video, write_video
from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.splats.meshing import mesh_of, require_voxel, usual_voxel, write_mesh
from dense3d.radiance.splats.rendering import render_view
from dense3d.radiance.views import PosedView

VIDEO, MESH = "orbit.mp4", "mesh.ply"


def require_extras(video: bool, mesh: bool, voxel: float | None = None) -> None:
    """Say what is missing, or wrong, before the work, not after it.

    Raises:
        ConfigError: the voxel's side is not positive, or there is one without a mesh.
        MissingDependencyError: names the extra.
    """
    if video:
        require_video()
    if mesh:
        require("open3d", "meshes from depth")
    if voxel is not None and not mesh:
        raise ConfigError(f"voxel={voxel}: it is the side of a mesh's voxels; ask for a mesh (--mesh)")
    if voxel is not None:
        require_voxel(voxel)


def video_into(
    gaussians: Gaussians,
    views: Sequence[PosedView],
    path: Path,
    background: Tensor,
    tell: Callable[[str], None],
) -> Path:
    """Write a video of six seconds around the scene.

    Args:
        gaussians: the scene.
        views: photographs, which the path goes by.
        path: of the video.
        background: (3,) behind the scene.
        tell: is given a line before it begins.
    """
    cameras = orbit(views, SECONDS * FRAMES_PER_SECOND)
    tell(f"rendering {len(cameras)} frames of a video")
    write_video(partial(render_view, gaussians), cameras, path, background)
    return path


def mesh_into(
    gaussians: Gaussians,
    views: Sequence[PosedView],
    path: Path,
    voxel: float | None,
    tell: Callable[[str], None],
) -> Path | None:
    """Write a mesh; where there is no surface, say so, since what was made before is not lost by that.

    Args:
        gaussians: the scene.
        views: cameras that depth is rendered for.
        path: of the mesh.
        voxel: its side; as large as two pixels if None.
        tell: is given a line on the result.

    Returns:
        ``path``, or None where nothing was written.
    """
    try:
        voxel = voxel or usual_voxel(gaussians, views)
        mesh = mesh_of(gaussians, views, voxel)
    except DataError as error:
        tell(f"warning: no mesh: {error}")
        return None
    tell(f"mesh: {len(mesh.triangles):,} triangles, voxels of {voxel:.4g}")
    write_mesh(mesh, path)
    return path
