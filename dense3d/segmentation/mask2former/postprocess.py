"""From the last prediction to panoptic, semantic and instance results, as the official code makes them.

mmdet's fusion head differs: it keeps pixels of a mask below 0.5 in panoptic segments unless told otherwise,
knows things only as the first classes, and has no semantic results.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor

from dense3d.segmentation.panoptic_map import PanopticMap, top_instances


@dataclass(frozen=True)
class PanopticRule:
    """Thresholds of the panoptic result.

    Attributes:
        score_threshold: probability of the class above which a query takes part.
        overlap_threshold: least share of a mask that has to be won.
    """

    score_threshold: float = 0.8
    overlap_threshold: float = 0.8


def masks_of_image(
    masks: Tensor, padded: tuple[int, int], content: tuple[int, int], output: tuple[int, int]
) -> Tensor:
    """Mask logits of one image at the wanted size: resized to the input, cropped, resized again.

    Args:
        masks: ``(Q, h, w)`` logits.
        padded: size of the network's input.
        content: size of the image in it, from the top left corner.
        output: wanted size.
    """
    masks = F.interpolate(masks[None], padded, mode="bilinear")[..., : content[0], : content[1]]
    return F.interpolate(masks, output, mode="bilinear")[0]


def panoptic(logits: Tensor, masks: Tensor, things: Collection[int], rule: PanopticRule) -> PanopticMap:
    """Each pixel goes to its best certain query; queries that win too little of their mask are dropped.

    The class of a query is its best of all K + 1, so that queries which are most likely void take no part.

    Args:
        logits: ``(Q, K + 1)``.
        masks: ``(Q, H, W)`` logits.
        things: classes whose segments are separate.
        rule: thresholds.
    """
    scores, labels = logits.float().softmax(-1).max(-1)
    kept = (labels != logits.shape[1] - 1) & (scores > rule.score_threshold)
    scores, labels, shares = scores[kept], labels[kept], masks[kept].float().sigmoid()
    result = PanopticMap(tuple(masks.shape[-2:]), things, masks.device)
    if len(labels) == 0:
        return result
    best = (scores[:, None, None] * shares).argmax(0)
    for query, label in enumerate(labels.tolist()):
        won, mask = best == query, shares[query] >= 0.5
        segment = won & mask
        areas = [int(region.sum()) for region in (won, mask, segment)]
        if min(areas) > 0 and areas[0] / areas[1] >= rule.overlap_threshold:
            result.add(label, segment)
    return result


def semantic(logits: Tensor, masks: Tensor) -> Tensor:
    """Scores ``(K, H, W)`` of the classes: masks weighted by class probabilities.

    Args:
        logits: ``(Q, K + 1)``.
        masks: ``(Q, H, W)`` logits.
    """
    return torch.einsum("qk,qhw->khw", logits.float().softmax(-1)[:, :-1], masks.float().sigmoid())


def instances(logits: Tensor, masks: Tensor, number: int, things: Collection[int] | None) -> InstanceData:
    """The best ``number`` pairs of query and class; see :func:`top_instances`.

    Args:
        logits: ``(Q, K + 1)``.
        masks: ``(Q, H, W)`` logits.
        number: of pairs.
        things: classes to keep; None keeps all.
    """
    return top_instances(logits, masks.float().sigmoid(), masks > 0, number, things)
