"""Batches of two small images with annotations: boxes and masks, labels of pixels, 3D boxes, stereo pairs."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData

SIZE = (64, 96)
_BOXES = (((4, 5, 34, 40), (20, 10, 80, 50), (50, 30, 92, 62)), ((10, 10, 60, 40),))  # x1, y1, x2, y2


def detection_batch(num_classes: int, things: int | None = None, size: tuple[int, int] = SIZE) -> dict:
    """Two images with three boxes and one, their masks, and semantic labels.

    Args:
        num_classes: labels are below it.
        things: number of labels that boxes may have; all unless given.
        size: height and width in pixels, at least 64 x 96.

    Returns:
        ``inputs``, uint8 images ``(3, H, W)``, and ``data_samples`` of mmdet.

    Example:
        >>> batch = detection_batch(5)
        >>> [len(sample.gt_instances) for sample in batch["data_samples"]]
        [3, 1]
    """
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    samples = []
    for boxes in _BOXES:
        labels = torch.arange(len(boxes)) % (things or num_classes)
        masks = np.zeros((len(boxes), *size), np.uint8)
        semantic = torch.full((1, *size), num_classes - 1)
        for mask, (x1, y1, x2, y2), label in zip(masks, boxes, labels):
            mask[y1:y2, x1:x2] = 1
            semantic[0, y1:y2, x1:x2] = label
        sample = DetDataSample(metainfo=_meta(size))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes).float(), labels=labels, masks=BitmapMasks(masks, *size)
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
        sample.gt_sem_seg = PixelData(sem_seg=semantic)
        samples.append(sample)
    return dict(inputs=_images(size), data_samples=samples)


def segmentation_batch(num_classes: int, size: tuple[int, int] = SIZE) -> dict:
    """Two images with semantic labels, a stripe of them ignored; ``data_samples`` are those of mmseg.

    Example:
        >>> segmentation_batch(5)["data_samples"][0].gt_sem_seg.data.shape
        torch.Size([1, 64, 96])
    """
    from mmseg.structures import SegDataSample

    samples = []
    for _ in range(2):
        labels = (torch.arange(size[1]) // 8 % num_classes).expand(1, *size).clone()
        labels[:, :4] = 255
        samples.append(SegDataSample(metainfo=_meta(size), gt_sem_seg=PixelData(data=labels)))
    return dict(inputs=_images(size), data_samples=samples)


def street_batch(size: tuple[int, int] = SIZE) -> dict:
    """Two images with 3D boxes of cars and calibrations; ``data_samples`` are those of ``PackKittiFrame``.

    Example:
        >>> street_batch()["data_samples"][0].gt_instances.boxes_3d.shape
        torch.Size([10, 6])
    """
    from dense3d.benchmarks.batches import street_batch

    return dict(inputs=_images(size), data_samples=street_batch(2, size, torch.device("cpu"))[1])


def stereo_batch(size: tuple[int, int] = SIZE) -> dict:
    """Two rectified pairs, the right image 4 pixels to the left; without calibration.

    Example:
        >>> stereo_batch()["inputs"]["right"][0].shape
        torch.Size([3, 64, 96])
    """
    from dense3d.structures.stereo_sample import StereoSample

    left = _images(size)
    right = [image.roll(-4, dims=-1) for image in left]
    samples = [StereoSample(metainfo=dict(img_shape=size)) for _ in left]
    return dict(inputs=dict(left=left, right=right), data_samples=samples)


def _images(size: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for _ in range(2)]


def _meta(size: tuple[int, int]) -> dict:
    return dict(
        img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0)
    )
