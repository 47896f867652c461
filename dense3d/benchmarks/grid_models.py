"""Detectors in radiance grids of the suite ``models``: their batches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dense3d.structures.grid_sample import GridDataSample

BOXES = 12  # in each grid
FLOOR = 2.0  # voxels: least side of a box


def grid_batch(side: int) -> Callable:
    """A function that makes batches of cubic grids in which boxes are filled with colour, always the same.

    Args:
        side: in voxels.
    """

    def batch(
        number: int, _size: tuple[int, int], device: torch.device
    ) -> tuple[dict[str, Tensor], list[GridDataSample]]:
        random = torch.Generator().manual_seed(0)
        grids, samples = torch.zeros(number, 4, side, side, side), []
        for grid in grids:
            centres = side * (0.1 + 0.8 * torch.rand(BOXES, 3, generator=random))
            sizes = FLOOR + side * 0.25 * torch.rand(BOXES, 3, generator=random)
            yaws = torch.rand(BOXES, 1, generator=random) - 0.5
            low, high = (centres - sizes / 2).clamp(min=0).int(), (centres + sizes / 2).int()
            for (x0, y0, z0), (x1, y1, z1) in zip(low.tolist(), high.tolist()):
                colour = torch.rand(4, 1, 1, 1, generator=random)
                grid[:, x0:x1, y0:y1, z0:z1] = colour
            samples.append(GridDataSample(gt_boxes=torch.cat([centres, sizes, yaws], 1)).to(device))
        shapes = torch.full((number, 3), side, device=device)
        return dict(grids=grids.to(device), shapes=shapes), samples

    return batch
