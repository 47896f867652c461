"""Rays through the pixels of photographs: some of all at random, or all of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.radiance.views import PosedView


class RayBatch(NamedTuple):
    """R rays of the world and what the photographs show there."""

    origins: Tensor  # (R, 3)
    directions: Tensor  # (R, 3), of length one
    colors: Tensor  # (R, 3) in 0..1, multiplied by alpha
    alpha: Tensor  # (R,) in 0..1

    def over(self, background: Tensor) -> Tensor:
        """(R, 3): the colours over a background (3,) or (R, 3)."""
        return self.colors + (1 - self.alpha[:, None]) * background


def view_rays(view: PosedView) -> tuple[Tensor, Tensor]:
    """Origins and directions of length one, (H, W, 3) float64 in the world."""
    directions = view.camera.directions(view.camera.pixel_grid())
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    origin = torch.from_numpy(view.camera.position.copy())
    return origin.expand(directions.shape), torch.from_numpy(directions)


class Pixels:
    """All pixels that count of photographs, which may differ in size.

    Args:
        views: photographs.
        device: where batches are made; photographs stay there as bytes.

    Raises:
        DataError: no pixel counts.
    """

    def __init__(self, views: Sequence[PosedView], device: str | torch.device = "cpu") -> None:
        chosen = [np.flatnonzero(_counting(view)) for view in views]
        if not sum(map(len, chosen)):
            raise DataError("the masks leave no pixel of any photograph: there is nothing to fit")
        alphas = [np.full(v.image.shape[:2], 255, np.uint8) if v.alpha is None else v.alpha for v in views]
        colors = np.concatenate([v.image.reshape(-1, 3)[index] for v, index in zip(views, chosen)])
        alpha = np.concatenate([a.reshape(-1)[index] for a, index in zip(alphas, chosen)])
        places = np.concatenate([index.astype(np.int32) for index in chosen])
        owners = np.repeat(np.arange(len(views), dtype=np.int32), [len(index) for index in chosen])
        to_rays = [v.camera.rotation @ np.linalg.inv(v.camera.intrinsics) for v in views]
        centres = [v.camera.position for v in views]
        widths = [v.camera.width for v in views]
        cameras = np.array(to_rays), np.array(centres), np.array(widths)
        self._pixels = [torch.from_numpy(part).to(device) for part in (colors, alpha, places, owners)]
        self._cameras = [torch.from_numpy(part).to(device) for part in cameras]

    def __len__(self) -> int:
        return len(self._pixels[0])

    def draw(self, count: int, generator: torch.Generator) -> RayBatch:
        """``count`` pixels at random, with replacement; the generator is one of the CPU."""
        index = torch.randint(len(self), (count,), generator=generator).to(self._pixels[0].device)
        colors, alpha, place, owner = (part[index] for part in self._pixels)
        to_rays, centres, width = (part[owner.long()] for part in self._cameras)
        place = place.long()
        pixels = torch.stack([place % width, place // width, torch.ones_like(place)], -1).double()
        directions = (to_rays @ pixels[..., None])[..., 0]
        directions = directions / directions.norm(dim=-1, keepdim=True)
        return RayBatch(centres, directions, colors.float() / 255, alpha.float() / 255)


def _counting(view: PosedView) -> np.ndarray:
    return np.ones(view.image.shape[:2], bool) if view.usable is None else view.usable
