"""A video of the scene: cameras that circle around it, or swing where photographs are of one side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.files import require_writable_file
from dense3d.optional import require
from dense3d.radiance.evaluation import Renderer
from dense3d.radiance.extent import common_sight
from dense3d.radiance.views import PosedView

SECONDS, FRAMES_PER_SECOND = 6, 24
ALL_AROUND = np.radians(270)  # photographs that cover so much are circled
LEAST_UP = 0.2  # length of the mean of the photographs' upward directions that says where up is
LEAST_RADIUS = 0.05  # of a circle, in multiples of the distance to what is circled
INSIDE = 0.8  # part of the arc, and of the distance, that the cameras of a video use
PURPOSE = "writing videos"


def require_video() -> None:
    """See that videos can be written before any work is done for one.

    Raises:
        MissingDependencyError: names the extra that brings imageio-ffmpeg.
    """
    require("imageio_ffmpeg", PURPOSE)


def orbit(views: Sequence[PosedView], count: int) -> list[PosedView]:
    """Cameras of a closed path, with no photographs.

    Around what all photographs look at, at their mean height and a little nearer: all around if they cover
    270 degrees, else back and forth within their arc. Where they look at nothing in common, or straight down
    from above it, along them.

    Args:
        views: photographs.
        count: of cameras, at least 1.

    Raises:
        ConfigError: there is no photograph, or ``count`` is below 1.
    """
    if not views or count < 1:
        raise ConfigError("an orbit has at least one camera, and photographs to go by")
    centre, distance = common_sight(views)
    can_circle = centre is not None and _radius(views, centre) > LEAST_RADIUS * distance
    poses = _around(views, centre, count) if can_circle else _along(views, count)
    first = views[0]
    blank = np.zeros_like(first.image)
    return [
        PosedView(f"orbit {number}", replace(first.camera, camera_to_world=pose), blank)
        for number, pose in enumerate(poses)
    ]


def write_video(
    render: Renderer,
    views: Sequence[PosedView],
    path: str | os.PathLike,
    background: Tensor,
    frames_per_second: int = FRAMES_PER_SECOND,
    tell: Callable[[int], None] | None = None,
) -> None:
    """Render cameras into an mp4 file, which appears whole or not at all.

    Args:
        render: the scene.
        views: cameras, of one size.
        path: ending in ``.mp4``.
        background: (3,) behind the scene.
        frames_per_second: of the video.
        tell: called with the number of frames that are done.

    Raises:
        MissingDependencyError: imageio-ffmpeg is not installed.
    """
    ffmpeg = require("imageio_ffmpeg", PURPOSE)
    path = Path(path)
    require_writable_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = (side // 2 * 2 for side in views[0].image.shape[:2])  # h264 halves the chroma
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    writer = ffmpeg.write_frames(
        str(temporary), (width, height), fps=frames_per_second, macro_block_size=2, quality=7
    )
    try:
        writer.send(None)
        for number, view in enumerate(views, start=1):
            image = (render(view, background)[:height, :width] * 255).round()
            writer.send(np.ascontiguousarray(image.to(torch.uint8).numpy()))
            if tell is not None:
                tell(number)
        writer.close()
        temporary.replace(path)
    finally:
        writer.close()
        temporary.unlink(missing_ok=True)


def _radius(views: Sequence[PosedView], centre: np.ndarray) -> float:
    """Median distance of the photographs from the upright axis through ``centre``; 0 if up is not clear."""
    if np.linalg.norm(np.mean([view.camera.rotation[:, 1] for view in views], axis=0)) < LEAST_UP:
        return 0.0
    offsets, up = np.array([view.camera.position for view in views]) - centre, _up(views)
    return float(np.median(np.linalg.norm(offsets - (offsets @ up)[:, None] * up, axis=1)))


def _around(views: Sequence[PosedView], centre: np.ndarray, count: int) -> list[np.ndarray]:
    up = _up(views)
    offsets = np.array([view.camera.position for view in views]) - centre
    rises = offsets @ up
    flat = offsets - rises[:, None] * up
    along = flat[np.linalg.norm(flat, axis=1).argmax()]
    along = along / max(np.linalg.norm(along), 1e-9)
    across = np.cross(up, along)
    angles = np.sort(np.arctan2(flat @ across, flat @ along))
    gaps = np.diff(np.append(angles, angles[0] + 2 * np.pi))
    start, arc = angles[(gaps.argmax() + 1) % len(angles)], 2 * np.pi - gaps.max()
    turns = np.arange(count) / count
    if arc >= ALL_AROUND:
        path = start + 2 * np.pi * turns
    else:
        path = start + arc * (0.5 - 0.5 * INSIDE * np.cos(2 * np.pi * turns))
    radius = (INSIDE if arc >= ALL_AROUND else 1.0) * float(np.median(np.linalg.norm(flat, axis=1)))
    rise = float(np.median(rises))
    places = centre + radius * (np.cos(path)[:, None] * along + np.sin(path)[:, None] * across) + rise * up
    return [_looking(place, centre, up) for place in places]


def _along(views: Sequence[PosedView], count: int) -> list[np.ndarray]:
    """Through the poses in their order and back, evenly in the number of photographs."""
    from scipy.spatial.transform import Rotation, Slerp

    poses = [views[0], *views[1:], *views[-2:0:-1], views[0]] if len(views) > 1 else [views[0]] * 2
    times, wanted = np.arange(len(poses)), np.linspace(0, len(poses) - 1, count, endpoint=False)
    turns = Slerp(times, Rotation.from_matrix([view.camera.rotation for view in poses]))(wanted).as_matrix()
    centres = np.array([view.camera.position for view in poses])
    found = np.tile(np.eye(4), (count, 1, 1))
    found[:, :3, :3] = turns
    for axis in range(3):
        found[:, axis, 3] = np.interp(wanted, times, centres[:, axis])
    return list(found)


def _up(views: Sequence[PosedView]) -> np.ndarray:
    """(3,) the mean upward direction of the photographs."""
    up = -np.mean([view.camera.rotation[:, 1] for view in views], axis=0)
    return up / max(np.linalg.norm(up), 1e-9)


def _looking(place: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(4, 4) camera to world at ``place``, looking at ``target``."""
    forward = target - place
    forward = forward / max(np.linalg.norm(forward), 1e-9)
    right = np.cross(forward, up)
    right = right / max(np.linalg.norm(right), 1e-9)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = place
    return pose
