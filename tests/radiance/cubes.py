"""Photographs of a cube of six colours before nothing, and a field that is that cube."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import torch

from dense3d.radiance.views import PosedView
from dense3d.structures import PinholeCamera

CENTRE, SIDE = np.array([3.0, -2.0, 5.0]), 1.5
COLORS = np.array(
    [[220, 40, 40], [40, 220, 40], [40, 40, 220], [220, 220, 40], [40, 220, 220], [220, 40, 220]]
)


def cube_views(
    count: int = 12, size: tuple[int, int] = (40, 32), background: int | None = None
) -> list[PosedView]:
    """Around the cube, above and below it; with alpha, or before a grey that is everywhere."""
    views = []
    for number in range(count):
        angle, rise = 2 * math.pi * number / count, (-0.8, 1.4, 2.6)[number % 3]
        place = CENTRE + np.array([4.2 * math.cos(angle), 4.2 * math.sin(angle), rise])
        camera = PinholeCamera.look_at(place, CENTRE, *size, fov=0.75)
        image, alpha = photograph(camera)
        if background is not None:
            image = np.where(alpha[..., None] > 0, image, background).astype(np.uint8)
        views.append(PosedView(f"{number:02d}.png", camera, image, alpha if background is None else None))
    return views


def photograph(camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) and alpha (H, W) of the cube by the slab method, nine rays a pixel."""
    offsets = (np.arange(3) - 1) / 3
    grid = camera.pixel_grid()[:, :, None, None] + np.stack(
        np.meshgrid(offsets, offsets), -1
    )  # (H, W, 3, 3, 2)
    rays = camera.directions(grid.reshape(-1, 2))
    first, second = ((CENTRE + sign * SIDE / 2 - camera.position) / rays for sign in (-1, 1))
    enter, leave = np.minimum(first, second), np.maximum(first, second)
    axis = enter.argmax(axis=1)
    hit = (enter.max(axis=1) < leave.min(axis=1)) & (enter.max(axis=1) > 0)
    side = (np.take_along_axis(rays, axis[:, None], 1)[:, 0] < 0).astype(
        int
    )  # 1: the face of larger coordinate
    colors = np.where(hit[:, None], COLORS[2 * axis + side], 0).reshape(*grid.shape[:2], 9, 3).mean(axis=2)
    alpha = 255 * hit.reshape(*grid.shape[:2], 9).mean(axis=2)
    return colors.round().astype(np.uint8), alpha.round().astype(np.uint8)


def write_pictures(folder: Path, views: list[PosedView]) -> None:
    """png files whose colours are not multiplied by alpha."""
    folder.mkdir(parents=True, exist_ok=True)
    for view in views:
        image = view.image[..., ::-1]
        if view.alpha is not None:
            straight = image / np.maximum(view.alpha[..., None] / 255, 1e-3)
            image = np.concatenate(
                [straight.clip(0, 255).round().astype(np.uint8), view.alpha[..., None]], -1
            )
        cv2.imwrite(str(folder / view.name), image)


class CubeField:
    """Of one extinction inside of the cube; its red is the x of the direction that it is seen along."""

    def __init__(self, extinction: float = 2.0, kind: str = "relu") -> None:
        self.extinction, self.density_kind = extinction, kind

    def density(self, points: torch.Tensor) -> torch.Tensor:
        away = (points - torch.from_numpy(CENTRE)).abs().amax(-1)
        return self.extinction * (away <= SIDE / 2).double()

    def colors(self, points: torch.Tensor, directions: torch.Tensor):
        for direction in directions:
            red = (0.5 + 0.5 * direction[0]).expand(len(points))
            yield torch.stack([red, torch.full_like(red, 0.25), torch.zeros_like(red)], -1)


def bounds(grid) -> np.ndarray:
    """(2, 3) corners in the world of the samples of a grid whose opacity over a voxel is at least a half."""
    alpha = grid.as_alpha().density
    inside = np.argwhere(alpha >= 0.5 * alpha.max())
    share = np.stack([inside.min(axis=0), inside.max(axis=0)]) / (np.array(grid.resolution) - 1)
    return grid.bbox_min + share * (grid.bbox_max - grid.bbox_min)
