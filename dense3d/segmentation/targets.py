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
    from mmengine.structures import BaseDataElement

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
    size = tuple(-(-n // stride) for n in padded)
    labels, masks = [torch.zeros(0, dtype=torch.long)], [torch.zeros(0, *size, dtype=torch.bool)]
    if "gt_instances" in sample and len(sample.gt_instances):
        instances = _mask_tensor(sample.gt_instances.masks)[:, ::stride, ::stride]
        masks.append(_padded(instances, size, False))
        labels.append(sample.gt_instances.labels.cpu())
    if "gt_sem_seg" in sample:
        classes = sample.gt_sem_seg.sem_seg[0].cpu()[::stride, ::stride]
        present, stuff = segments_of_classes(classes, ignored={IGNORED, *things})
        masks.append(_padded(stuff, size, False))
        labels.append(present)
    found = torch.cat(labels)
    check_labels(found, num_classes, sample, "model.num_classes")
    return found, torch.cat(masks)


def segments_of_classes(classes: Tensor, ignored: Collection[int]) -> tuple[Tensor, Tensor]:
    """One segment for each class of a map: labels ``(n,)``, rising, and masks ``(n, h, w)`` bool.

    Args:
        classes: ``(h, w)``.
        ignored: classes that are no segment.

    Example:
        >>> labels, masks = segments_of_classes(torch.tensor([[3, 1, 255]]), ignored={255})
        >>> labels.tolist(), masks.int().tolist()
        ([1, 3], [[[0, 1, 0]], [[1, 0, 0]]])
    """
    labels = classes.unique().long()
    labels = labels[~torch.isin(labels, torch.tensor(sorted(ignored), device=labels.device))]
    return labels, classes == labels[:, None, None]


def check_labels(labels: Tensor, num_classes: int, sample: BaseDataElement, key: str) -> None:
    """Refuse labels that are no class.

    Args:
        labels: ``(n,)`` of the segments of ``sample``.
        num_classes: K.
        sample: named in the message by its ``img_path``.
        key: of the config, which holds the number of classes.

    Raises:
        DataError: one is not in 0 ... K - 1.
    """
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise DataError(
            f"{sample.get('img_path', 'an image')} has a segment of class {int(wrong[0])}, but there are "
            f"{num_classes} classes: correct {key} or the classes of the data set"
        )


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
