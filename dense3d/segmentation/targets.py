"""Segments of annotated images: things one by one, stuff one segment a class."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

IGNORED = 255  # label of pixels of no class in a map of classes


def annotated_segments(
    sample: DetDataSample, num_classes: int, things: Collection[int], padded: tuple[int, int], stride: int = 1
) -> tuple[Tensor, Tensor]:
    """Labels ``(n,)`` and masks ``(n, h, w)`` bool of one image, on the CPU.

    Things come from ``gt_instances`` (``masks`` and ``labels``), empty ones too; stuff from ``gt_sem_seg``,
    one segment for each class that is there. Crowds and unlabelled pixels are in no segment.

    Args:
        sample: annotated at the size of the image or of the padded batch.
        num_classes: K, without void.
        things: classes that are things; where the map of classes shows them it is not used.
        padded: size of the network's input.
        stride: take every s-th row and column.

    Raises:
        DataError: a label is not among the classes.
    """
    labels, masks = [], [torch.zeros(0, *(-(-n // stride) for n in padded), dtype=torch.bool)]
    if "gt_instances" in sample and len(sample.gt_instances):
        instances = _mask_tensor(sample.gt_instances.masks)[:, ::stride, ::stride]
        masks.append(_padded(instances, masks[0].shape[-2:], False))
        labels += sample.gt_instances.labels.tolist()
    if "gt_sem_seg" in sample:
        classes = sample.gt_sem_seg.sem_seg[0].cpu()[::stride, ::stride]
        present = [c for c in classes.unique().tolist() if c != IGNORED and c not in things]
        stuff = torch.stack([classes == c for c in present]) if present else masks[0][:0]
        masks.append(_padded(stuff, masks[0].shape[-2:], False))
        labels += present
    wrong = [label for label in labels if not 0 <= label < num_classes]
    if wrong:
        raise DataError(
            f"{sample.get('img_path', 'an image')} has a segment of class {wrong[0]}, but there are "
            f"{num_classes} classes: correct model.num_classes or the classes of the data set"
        )
    return torch.tensor(labels, dtype=torch.long), torch.cat(masks)


def segments_of_batch(
    samples: Sequence[DetDataSample],
    num_classes: int,
    things: Collection[int],
    padded: tuple[int, int],
    device: torch.device,
) -> tuple[list[Tensor], list[Tensor]]:
    """:func:`annotated_segments` of each image, on ``device``."""
    found = [annotated_segments(sample, num_classes, things, padded) for sample in samples]
    return [labels.to(device) for labels, _ in found], [masks.to(device) for _, masks in found]


def _mask_tensor(masks: object) -> Tensor:
    """``(n, H, W)`` bool of mmdet's masks, an array or a tensor."""
    if isinstance(masks, Tensor):
        return masks.cpu().bool()
    array = masks if isinstance(masks, np.ndarray) else masks.to_ndarray()
    return torch.from_numpy(np.ascontiguousarray(array)).bool()


def _padded(x: Tensor, size: tuple[int, int], value: bool) -> Tensor:
    """``(..., H, W)`` filled up at the right and at the bottom."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, size[1] - width, 0, size[0] - height), value=value)
