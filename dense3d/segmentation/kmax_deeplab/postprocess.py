"""From predictions of the last layer to panoptic, semantic and instance results."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from dense3d.segmentation.kmax_deeplab.layers import resize
from dense3d.segmentation.panoptic_map import PanopticMap, top_instances


@dataclass(frozen=True)
class PanopticRule:
    """Thresholds of the panoptic result; those of COCO unless given.

    Attributes:
        pixel_threshold: share above which a pixel may belong to a query's mask.
        thing_threshold: probability above which things are taken.
        stuff_threshold: probability above which stuff is taken.
        overlap_threshold: share of a mask that has to be free still.
        class_power: power of the class probability in the order of queries.
        mask_power: power of the mean share inside the mask in that order.
    """

    pixel_threshold: float = 0.4
    thing_threshold: float = 0.7
    stuff_threshold: float = 0.5
    overlap_threshold: float = 0.8
    class_power: float = 1.0
    mask_power: float = 1.0


def masks_of_image(
    masks: Tensor, padded: tuple[int, int], content: tuple[int, int], output: tuple[int, int]
) -> Tensor:
    """Mask logits of one image at the wanted size: resized to the input, cropped, resized again.

    Args:
        masks: ``(N, h, w)`` logits.
        padded: size of the network's input; the parity of its width decides on the alignment of corners.
        content: size of the image in it, from the top left corner.
        output: wanted size.
    """
    masks = resize(masks[None], padded, odd=padded[1])[..., : content[0], : content[1]]
    return resize(masks, output, odd=padded[1])[0]


def panoptic(logits: Tensor, masks: Tensor, things: Collection[int], rule: PanopticRule) -> PanopticMap:
    """Paste the masks one by one, the most certain first, on pixels that are still free.

    The official order and thresholds: deeplab2's "mask-wise merging" without limits of area.

    Args:
        logits: ``(N, K + 1)``.
        masks: ``(N, H, W)`` logits over the queries.
        things: classes whose segments are separate.
        rule: thresholds.
    """
    scores, labels = logits.float().softmax(-1)[:, :-1].max(-1)
    shares = masks.float().softmax(0)
    binary = shares > rule.pixel_threshold
    area = binary.flatten(1).sum(1)
    quality = (shares * binary).flatten(1).sum(1) / area.clamp(min=1)
    order = (scores**rule.class_power * quality**rule.mask_power).argsort(descending=True)
    is_thing = torch.isin(labels, torch.tensor(sorted(things), device=labels.device))
    # The thresholds are double-precision numbers: 0.7 is no float32.
    things_certain, stuff_certain = (
        scores.double() > t for t in (rule.thing_threshold, rule.stuff_threshold)
    )
    certain = torch.where(is_thing, things_certain, stuff_certain)
    result = PanopticMap(tuple(masks.shape[-2:]), things, masks.device)
    for query in order[certain[order] & (area[order] > 0)].tolist():
        free = binary[query] & (result.ids == 0)
        if free.sum() > area[query].float() * rule.overlap_threshold:
            result.add(int(labels[query]), free)
    return result


def semantic(logits: Tensor, masks: Tensor) -> Tensor:
    """Scores ``(K, H, W)`` of the classes: masks weighted by class probabilities.

    Args:
        logits: ``(N, K + 1)``.
        masks: ``(N, H, W)`` logits over the queries.
    """
    probability = logits.float().softmax(-1)[:, :-1]
    return torch.einsum("nk,nhw->khw", probability, masks.float().softmax(0))


def instances(
    logits: Tensor, masks: Tensor, rule: PanopticRule, number: int, things: Collection[int] | None
) -> InstanceData:
    """The best ``number`` pairs of query and class; see :func:`top_instances`.

    Args:
        logits: ``(N, K + 1)``.
        masks: ``(N, H, W)`` logits over the queries.
        rule: for its ``pixel_threshold``.
        number: of pairs.
        things: classes to keep; None keeps all.
    """
    shares = masks.float().softmax(0)
    return top_instances(logits, shares, shares > rule.pixel_threshold, number, things)
