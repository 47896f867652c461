"""Scenes with photographs for the suite ``models``."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dense3d.structures import PointDataSample
from dense3d.structures.camera import PinholeCamera

POINTS_OF_SCENES = 2048
IMAGE = (256, 352)  # rows and columns, as PiMAE's
ROOM = (4.0, 4.0, 2.5)  # metres


def scene_batch(
    number: int, size: tuple[int, int], device: torch.device
) -> tuple[dict[str, Tensor], list[PointDataSample]]:
    """Points on the walls of a room and a photograph of noise from its middle, the same every time.

    Args:
        number: B.
        size: of images of other models; these have that of the published configs.
        device: of the tensors.
    """
    random = torch.Generator().manual_seed(0)
    points = torch.rand(number, POINTS_OF_SCENES, 3, generator=random)
    side = torch.randint(3, points.shape[:2], generator=random)[..., None]
    points = points.scatter(2, side, points.gather(2, side).round())  # onto one of six sides
    points = (points - 0.5) * torch.tensor(ROOM)
    camera = PinholeCamera.look_at((0, 0, 0), (0, 1, 0), IMAGE[1], IMAGE[0], fov=math.radians(65))
    matrices = [torch.from_numpy(m.copy()).float() for m in (camera.world_to_camera, camera.intrinsics)]
    world_to_camera, intrinsics = (m.expand(number, 1, *m.shape) for m in matrices)
    inputs = dict(
        points=points,
        images=torch.randn(number, 1, 3, *IMAGE, generator=random),
        world_to_camera=world_to_camera,
        intrinsics=intrinsics,
        depths=torch.full((number, 1, *IMAGE), 2.0),
    )
    return {k: v.to(device) for k, v in inputs.items()}, [PointDataSample() for _ in range(number)]
