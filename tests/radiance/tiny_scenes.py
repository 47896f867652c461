"""Tiny scenes whose Gaussians are known: photographs of 32 x 24 pixels, in memory and in files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import torch

from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.views import PosedView
from dense3d.structures import PinholeCamera, PointCloud

SIZE = (32, 24)
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def known_gaussians(count: int = 40, seed: int = 0) -> Gaussians:
    """Coloured blobs around the origin."""
    random = torch.Generator().manual_seed(seed)
    points = 0.5 * torch.randn(count, 3, generator=random)
    colors = torch.rand(count, 3, generator=random)
    return Gaussians.from_points(points, colors, sh_degree=0, opacity=0.8, scale=0.8)


def cameras(count: int = 9, size: tuple[int, int] = SIZE, distance: float = 3.0) -> list[PinholeCamera]:
    """Around the origin, looking at it, at changing heights."""
    angles = 2 * math.pi * np.arange(count) / count
    return [
        PinholeCamera.look_at(
            (distance * math.cos(a), distance * math.sin(a), 0.6 * math.cos(2 * a)), (0, 0, 0), *size, fov=0.9
        )
        for a in angles
    ]


def photographs(gaussians: Gaussians, count: int = 9, size: tuple[int, int] = SIZE) -> list[PosedView]:
    """What the cameras see of Gaussians, before black."""
    views = []
    for number, camera in enumerate(cameras(count, size)):
        view = PosedView(f"{number:02d}.png", camera, np.zeros((*size[::-1], 3), np.uint8))
        with torch.no_grad():
            image, _, _ = gaussians.render(view.viewmat()[None], view.intrinsics()[None], *size)
        views.append(PosedView(view.name, camera, (image[0].clamp(0, 1) * 255).round().byte().numpy()))
    return views


def cloud_of(gaussians: Gaussians) -> PointCloud:
    """Their places, in grey."""
    points = gaussians.means.detach().numpy()
    return PointCloud(points, colors=np.full_like(points, 0.5), name="known.ply")


def write_scene(root: Path, views: list[PosedView], **content: object) -> Path:
    """``transforms.json`` and ``images`` of views, with OpenGL's axes."""
    (root / "images").mkdir(parents=True)
    frames = []
    for view in views:
        cv2.imwrite(str(root / "images" / view.name), view.image[..., ::-1])
        pose = (view.camera.camera_to_world @ OPENGL).tolist()
        frames.append({"file_path": f"images/{view.name}", "transform_matrix": pose})
    camera = views[0].camera
    intrinsics = {
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.intrinsics[0, 0],
        "fl_y": camera.intrinsics[1, 1],
        "cx": camera.intrinsics[0, 2] + 0.5,
        "cy": camera.intrinsics[1, 2] + 0.5,
    }
    (root / "transforms.json").write_text(json.dumps({**intrinsics, "frames": frames, **content}))
    return root
