"""Targets of kMaX-DeepLab from the annotations of data samples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import torch

from dense3d.segmentation.kmax_deeplab.matching import Targets
from dense3d.segmentation.targets import annotated_segments

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

STRIDE = 4  # of the final masks


def panoptic_targets(
    data_samples: Sequence[DetDataSample],
    num_classes: int,
    things: Collection[int],
    padded: tuple[int, int],
    device: torch.device,
) -> Targets:
    """Segments at every fourth pixel; those without such a pixel are left out.

    Args:
        data_samples: annotated, see :func:`annotated_segments`.
        num_classes: K, without void.
        things: classes that are things.
        padded: size of the network's input.
        device: where the targets go.

    Raises:
        DataError: a label is not among the classes.
    """
    labels, masks, semantic = [], [], []
    for sample in data_samples:
        label, mask = annotated_segments(sample, num_classes, things, padded, STRIDE)
        seen = mask.flatten(1).any(1)
        labels.append(label[seen].to(device))
        masks.append(mask[seen].to(device))
        classes = torch.full(mask.shape[-2:], num_classes)
        for c, m in zip(label.tolist(), mask):
            classes[m] = c
        semantic.append(classes)
    return Targets(labels, masks, torch.stack(semantic).to(device))
