"""Batches of street scenes for the benchmark of monocular 3D detectors."""

from __future__ import annotations

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from dense3d.structures import KittiCalibration

OBJECTS = 10  # in each image


def street_batch(
    number: int, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, list[BaseDataElement]]:
    """Noise ``(B, 3, H, W)`` and samples with :data:`OBJECTS` cars an image, the same every time.

    Args:
        number: B.
        size: height and width.
        device: of images and targets.
    """
    random = torch.Generator().manual_seed(0)
    height, width = size
    images = torch.randn(number, 3, height, width, generator=random).to(device)
    calibration = KittiCalibration.pinhole(0.58 * width, (width / 2, height / 2))
    samples = []
    for index in range(number):
        meta = dict(frame=f"{index:06d}", ori_shape=size, img_shape=size, calibration=calibration)
        sample = BaseDataElement(metainfo=meta)
        sample.gt_instances = _cars(random)
        samples.append(sample.to(device))
    return images, samples


def _cars(random: torch.Generator) -> InstanceData:
    centres = 0.2 + 0.6 * torch.rand(OBJECTS, 2, generator=random)
    sides = 0.02 + 0.08 * torch.rand(OBJECTS, 4, generator=random)
    left, right, top, bottom = sides.unbind(1)
    middle = centres + torch.stack((right - left, bottom - top), dim=1) / 2
    return InstanceData(
        labels=torch.zeros(OBJECTS, dtype=torch.long),
        boxes=torch.cat((middle, torch.stack((left + right, top + bottom), dim=1)), dim=1),
        boxes_3d=torch.cat((centres, sides), dim=1),
        depth=5 + 40 * torch.rand(OBJECTS, generator=random),
        size_3d=torch.tensor([1.5, 1.6, 3.9]).expand(OBJECTS, 3).clone(),
        heading_bin=torch.randint(0, 12, (OBJECTS,), generator=random),
        heading_residual=torch.zeros(OBJECTS),
    )
