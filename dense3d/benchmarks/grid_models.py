"""Networks of radiance grids in the suite ``models``: their batches."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.structures import GridDataSample

SIDE = 160  # voxels, as NeRF-MAE is pre-trained
COARSEST = 32  # voxels of a token of the last stage
BOXES = 12  # in each grid


def grid_batch(
    number: int, size: tuple[int, int], device: torch.device
) -> tuple[dict[str, Tensor], list[GridDataSample]]:
    """Cubes ``(B, 4, 160, 160, 160)`` of noise, the same every time.

    Args:
        number: B.
        size: of images; where they are smaller than a grid, so is the grid.
        device: of the grids.

    Example:
        >>> grid_batch(1, (70, 90), torch.device("cpu"))[0]["grids"].shape
        torch.Size([1, 4, 64, 64, 64])
    """
    side = max(min(SIDE, min(size) // COARSEST * COARSEST), COARSEST)
    random = torch.Generator().manual_seed(0)
    grids = torch.rand(number, 4, side, side, side, generator=random).to(device)
    shapes = torch.tensor([[side] * 3] * number, device=device)
    return {"grids": grids, "shapes": shapes}, [GridDataSample() for _ in range(number)]


def voxel_batch(
    number: int, size: tuple[int, int], device: torch.device
) -> tuple[dict[str, Tensor], list[GridDataSample]]:
    """The batch of :func:`grid_batch` for networks that put out voxels, which cost more: sides are halved.

    Args:
        number, size, device: as there; at 320 pixels and more a side has its 160 voxels.

    Example:
        >>> voxel_batch(1, (70, 90), torch.device("cpu"))[0]["grids"].shape
        torch.Size([1, 4, 32, 32, 32])
    """
    return grid_batch(number, (size[0] // 2, size[1] // 2), device)


def boxes_batch(
    number: int, size: tuple[int, int], device: torch.device
) -> tuple[dict[str, Tensor], list[GridDataSample]]:
    """The batch of :func:`grid_batch` with :data:`BOXES` boxes in each grid.

    Args:
        number, size, device: as there.

    Example:
        >>> boxes_batch(1, (64, 64), torch.device("cpu"))[1][0].gt_boxes.shape
        torch.Size([12, 7])
    """
    inputs, samples = grid_batch(number, size, device)
    side, random = inputs["grids"].shape[-1], torch.Generator().manual_seed(1)
    for sample in samples:
        places = side * torch.rand(BOXES, 3, generator=random)
        sizes = 2 + side / 4 * torch.rand(BOXES, 3, generator=random)
        yaws = torch.rand(BOXES, 1, generator=random) - 0.5
        sample.gt_boxes = torch.cat([places, sizes, yaws], 1).to(device)
    return inputs, samples
