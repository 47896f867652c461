"""Batches of the models' benchmark: street scenes for 3D detectors, panoptic annotations, image pairs."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor

from dense3d.structures import KittiCalibration
from dense3d.structures.stereo_sample import StereoSample

THINGS, STUFF = 80, 53  # classes of COCO panoptic
OBJECTS, STRIPES = 10, 5  # in each image
DIVISOR = 32


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


def panoptic_batch(number: int, size: tuple[int, int], device: torch.device) -> tuple[Tensor, list]:
    """Noise ``(B, 3, H, W)`` padded to multiples of 32, and annotated samples, the same every time.

    Things are :data:`OBJECTS` rectangles an image, stuff :data:`STRIPES` stripes between them.

    Args:
        number: B.
        size: height and width of the images without padding.
        device: of images and targets.
    """
    from mmdet.structures import DetDataSample

    random = torch.Generator().manual_seed(0)
    padding = [-side % DIVISOR for side in size]
    images = F.pad(torch.randn(number, 3, *size, generator=random), (0, padding[1], 0, padding[0]))
    padded = tuple(images.shape[-2:])
    samples = []
    for _ in range(number):
        meta = dict(img_shape=size, batch_input_shape=padded, scale_factor=(1.0, 1.0), ori_shape=size)
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances, sample.gt_sem_seg = _annotations(size, padded, random)
        samples.append(sample.to(device))
    return images.to(device), samples


def matching_batch(
    number: int, size: tuple[int, int], device: torch.device
) -> tuple[dict[str, Tensor], list[StereoSample]]:
    """Noise ``left`` and ``right`` ``(B, 3, H, W)`` and samples with disparity and flow, always the same.

    Args:
        number: B.
        size: height and width.
        device: of images and ground truth.
    """
    random = torch.Generator().manual_seed(0)
    inputs = {side: torch.randn(number, 3, *size, generator=random).to(device) for side in ("left", "right")}
    samples = []
    for _ in range(number):
        sample = StereoSample(metainfo=dict(ori_shape=size, img_shape=size))
        sample.gt_disparity = 50 * torch.rand(1, *size, generator=random)
        sample.gt_flow = 20 * torch.randn(2, *size, generator=random)
        samples.append(sample.to(device))
    return inputs, samples


def _annotations(
    size: tuple[int, int], padded: tuple[int, int], random: torch.Generator
) -> tuple[InstanceData, PixelData]:
    from mmdet.structures.mask import BitmapMasks

    height, width = size
    starts = torch.rand(OBJECTS, 2, generator=random) * 0.7
    sides = 0.05 + 0.25 * torch.rand(OBJECTS, 2, generator=random)
    corners = torch.cat((starts, starts + sides), dim=1) * torch.tensor([width, height, width, height])
    boxes = corners.round()
    masks = np.zeros((OBJECTS, *padded), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist()):
        mask[top:bottom, left:right] = 1
    classes = torch.full((1, *padded), 255)
    stripe = torch.arange(height) * STRIPES // height  # (H,)
    classes[0, :height, :width] = THINGS + (stripe * STUFF // STRIPES)[:, None]
    labels = torch.randint(0, THINGS, (OBJECTS,), generator=random)
    for mask, label in zip(masks, labels.tolist()):
        classes[0][torch.from_numpy(mask) > 0] = label
    instances = InstanceData(bboxes=boxes, labels=labels, masks=BitmapMasks(masks, *padded))
    return instances, PixelData(sem_seg=classes)
