"""Small detectors, and grids with boxes for them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dense3d.detection3d.nerf_rpn import NerfRPN
from dense3d.structures.grid_sample import GridDataSample

BACKBONE = dict(type="ResNet3D", depths=(1, 1), base_channels=4)
HEADS = {
    "fcos": dict(type="FCOSHead3D", num_convs=1, level_ranges=((-1, 12), (12, math.inf))),
    "anchor": dict(type="AnchorHead3D", num_convs=1, sizes=((8,), (16,))),
}


def detector(head: str = "fcos", **options) -> NerfRPN:
    """A detector of two levels, always with the same weights."""
    torch.manual_seed(0)
    model = NerfRPN(BACKBONE, {**HEADS[head], **options}, neck=dict(type="FPN3D", out_channels=32))
    model.init_weights()
    return model


def scene(seed: int, sides: tuple[int, int, int] = (32, 28, 20)) -> tuple[Tensor, Tensor]:
    """A grid ``(4, X, Y, Z)`` in which three boxes ``(3, 7)`` are filled with a colour."""
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.tensor([6.0, 6, 5, 6, 5, 4, -1.5]), torch.tensor([26.0, 22, 15, 12, 9, 8, 1.5])
    boxes = low + (high - low) * torch.rand(3, 7, generator=generator)
    axes = [torch.arange(side, dtype=torch.float32) + 0.5 for side in sides]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    grid = torch.zeros(4, *sides)
    for box in boxes:
        x, y, z = (places - box[:3]).unbind(-1)
        cosine, sine = box[6].cos(), box[6].sin()
        along, across = x * cosine + y * sine, y * cosine - x * sine
        within = (along.abs() < box[3] / 2) & (across.abs() < box[4] / 2) & (z.abs() < box[5] / 2)
        colour = torch.cat([torch.rand(3, generator=generator), torch.ones(1)])
        grid[:, within] = colour[:, None]
    return grid, boxes


def batch(*scenes: tuple[Tensor, Tensor]) -> dict:
    """What the data loader gives."""
    samples = []
    for index, (_, boxes) in enumerate(scenes):
        sample = GridDataSample(metainfo={"sample_id": f"room {index}"})
        sample.gt_boxes = boxes
        samples.append(sample)
    return {"inputs": {"grids": [grid for grid, _ in scenes]}, "data_samples": samples}
