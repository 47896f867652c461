"""Pictures of a grid as it is written: three views along the axes, and a path around it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops import render_grid
from dense3d.radiance.rays import view_rays
from dense3d.radiance.views import PosedView
from dense3d.structures.radiance_grid import RadianceGrid
from dense3d.visualization.panels import captioned

PANEL = 320  # pixels of the longest side of a panel
ORBIT = 8  # pictures on a path
COLUMNS = 4
BEHIND = 0.35  # grey that tells what is empty from what is black or white


class GridPicture:
    """Renders a grid of any kind of density.

    Args:
        grid: what is rendered.
    """

    def __init__(self, grid: RadianceGrid) -> None:
        opacity = grid.as_alpha()
        values = torch.from_numpy(np.array(opacity.rgbsigma, np.float32))
        if opacity.rgbsigma.dtype == np.uint8:
            values /= 255
        values[..., 3] = -torch.log1p(-values[..., 3].clamp(0, 1 - 1e-6)) / grid.delta
        self.values = _with_colored_rim(values)
        self.low, self.high = (torch.from_numpy(np.array(part)) for part in (grid.bbox_min, grid.bbox_max))
        counts = torch.tensor(grid.resolution, dtype=torch.float64)
        self.spacing = (self.high - self.low) / (counts - 1).clamp(min=1)

    @torch.no_grad()
    def __call__(self, view: PosedView, background: Tensor) -> Tensor:
        """(H, W, 3) float32 in 0..1 of what a camera sees."""
        return self._render(*view_rays(view), background)

    @torch.no_grad()
    def along(self, axis: int, upwards: int, pixels: int = PANEL) -> np.ndarray:
        """(H, W, 3) uint8, from the positive side of an axis, without perspective.

        Args:
            axis: 0, 1 or 2 for x, y, z.
            upwards: the axis that is up in the picture.
            pixels: of the longer side.
        """
        size = self.high - self.low
        forward, up = -torch.eye(3).double()[axis], torch.eye(3).double()[upwards]
        right = torch.linalg.cross(forward, up)
        width, height = float((right.abs() * size).sum()), float(size[upwards])
        scale = pixels / max(width, height)
        columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
        u = (torch.arange(columns).double() + 0.5) / columns - 0.5
        v = 0.5 - (torch.arange(rows).double() + 0.5) / rows
        middle = (self.low + self.high) / 2 - forward * float(size[axis])
        origins = middle + u[None, :, None] * width * right + v[:, None, None] * height * up
        image = self._render(origins, forward.expand(origins.shape), torch.full((3,), BEHIND))
        return (image * 255).round().byte().numpy()

    def _render(self, origins: Tensor, directions: Tensor, background: Tensor) -> Tensor:
        found = render_grid(
            self.values,
            origins,
            directions,
            origin=self.low - self.spacing / 2,
            spacing=self.spacing,
            step=0.5 * float(self.spacing.min()),
            background=background.float(),
            min_transmittance=1e-3,
        )
        return found.values.clamp(0, 1)


def _with_colored_rim(values: Tensor) -> Tensor:
    """(X, Y, Z, 4) whose empty voxels have the colour of their neighbours, since colours are interpolated."""
    density = values[..., 3]
    weighted = torch.cat([values[..., :3] * density[..., None], density[..., None]], -1).movedim(-1, 0)[None]
    mean = F.avg_pool3d(F.pad(weighted, (1,) * 6), 3, 1)[0].movedim(0, -1)
    rim = (density == 0) & (mean[..., 3] > 0)
    values[..., :3][rim] = mean[..., :3][rim] / mean[..., 3:][rim]
    return values


def projections(picture: GridPicture) -> np.ndarray:
    """RGB uint8: from +x and from +y with z up, and from above."""
    panels = {
        "from +x, z up": picture.along(0, 2),
        "from +y, z up": picture.along(1, 2),
        "from +z, y up": picture.along(2, 1),
    }
    return captioned({caption: _padded(panel) for caption, panel in panels.items()})


def contact_sheet(picture: GridPicture, cameras: Sequence[PosedView]) -> np.ndarray:
    """RGB uint8: what cameras see, in rows of four."""
    images = []
    for view in cameras:
        image = picture(view, torch.full((3,), BEHIND))
        images.append(_sized((image * 255).round().byte().numpy()))
    while len(images) % COLUMNS:
        images.append(np.full_like(images[0], round(255 * BEHIND)))
    rows = [np.concatenate(images[i : i + COLUMNS], axis=1) for i in range(0, len(images), COLUMNS)]
    return np.concatenate(rows, axis=0)


def _padded(panel: np.ndarray) -> np.ndarray:
    """In the middle of a square, on grey."""
    square = np.full((PANEL, PANEL, 3), round(255 * BEHIND), np.uint8)
    top, left = (PANEL - panel.shape[0]) // 2, (PANEL - panel.shape[1]) // 2
    square[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
    return square


def _sized(image: np.ndarray) -> np.ndarray:
    scale = PANEL / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
