"""Targets of kMaX-DeepLab from the annotations of data samples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError
from dense3d.segmentation.kmax_deeplab.criterion import subsample
from dense3d.segmentation.kmax_deeplab.matching import Targets

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample


def panoptic_targets(
    data_samples: Sequence[DetDataSample],
    num_classes: int,
    things: Collection[int],
    padded: tuple[int, int],
    size: tuple[int, int],
    device: torch.device,
) -> Targets:
    """Segments of each image, every s-th pixel of them; segments without such a pixel are left out.

    Things come from ``gt_instances`` (``masks`` and ``labels``), stuff from ``gt_sem_seg``, one segment a
    class. Pixels in neither, crowds among them, are void.

    Args:
        data_samples: annotated, at the size of the images or of the padded batch.
        num_classes: K, without void.
        things: classes that are things; where the map of stuff shows them it is not used.
        padded: size of the network's input.
        size: size of the final masks.
        device: where the targets go.

    Raises:
        DataError: a label is not among the classes.
    """
    labels, masks, semantic = [], [], []
    for sample in data_samples:
        found = _segments(sample, num_classes, things, padded, size)
        found = [(label, mask) for label, mask in found if mask.any()]
        labels.append(torch.tensor([label for label, _ in found], dtype=torch.long, device=device))
        stacked = torch.stack([m for _, m in found]) if found else torch.zeros(0, *size, dtype=torch.bool)
        masks.append(stacked.to(device))
        classes = torch.full(size, num_classes)
        for label, mask in found:
            classes[mask] = label
        semantic.append(classes.to(device))
    return Targets(labels, masks, torch.stack(semantic))


def _segments(
    sample: DetDataSample,
    num_classes: int,
    things: Collection[int],
    padded: tuple[int, int],
    size: tuple[int, int],
) -> list[tuple[int, Tensor]]:
    segments = []
    if "gt_instances" in sample and len(sample.gt_instances):
        masks = subsample(_padded(_mask_tensor(sample.gt_instances.masks), padded, False), size)
        segments += list(zip(sample.gt_instances.labels.tolist(), masks))
    if "gt_sem_seg" in sample:
        classes = subsample(_padded(sample.gt_sem_seg.sem_seg[0].cpu(), padded, 255), size)
        stuff = [c for c in classes.unique().tolist() if c < num_classes and c not in things]
        segments += [(c, classes == c) for c in stuff]
    wrong = [label for label, _ in segments if not 0 <= label < num_classes]
    if wrong:
        raise DataError(
            f"{sample.get('img_path', 'an image')} has a segment of class {wrong[0]}, but there are "
            f"{num_classes} classes: correct model.num_classes or the classes of the data set"
        )
    return segments


def _mask_tensor(masks: object) -> Tensor:
    """``(n, H, W)`` bool of mmdet's masks, an array or a tensor."""
    if isinstance(masks, Tensor):
        return masks.cpu().bool()
    array = masks if isinstance(masks, np.ndarray) else masks.to_ndarray()
    return torch.from_numpy(np.ascontiguousarray(array)).bool()


def _padded(x: Tensor, size: tuple[int, int], value: int) -> Tensor:
    """``(..., H, W)`` filled up at the right and at the bottom."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, size[1] - width, 0, size[0] - height), value=value)
