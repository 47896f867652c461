"""Annotated segments of kMaX-DeepLab, and which query stands for which, by what panoptic quality is made of.

The similarity of a query and a segment is the dice of their masks times the probability of the segment's
class; MaX-DeepLab (Wang et al., CVPR 2021, section 3.3) and k-means Mask Transformer use it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.layers.assignment import assign
from dense3d.segmentation.kmax_deeplab.decoder import Prediction
from dense3d.segmentation.targets import annotated_segments

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

EPS = 1e-5
STRIDE = 4  # of the final masks


@dataclass
class PanopticTargets:
    """Annotated segments of a batch, at the size of the final masks.

    Attributes:
        labels: ``(n,)`` of each image.
        masks: ``(n, h, w)`` of each image, 0 or 1; crowds, unlabelled and padded pixels are in none.
        semantic: ``(B, h, w)`` class of each pixel; the number of classes where there is none.
    """

    labels: list[Tensor]
    masks: list[Tensor]
    semantic: Tensor


def panoptic_targets(
    data_samples: Sequence[DetDataSample],
    num_classes: int,
    things: Collection[int],
    padded: tuple[int, int],
    device: torch.device,
) -> PanopticTargets:
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
    return PanopticTargets(labels, masks, torch.stack(semantic).to(device))


@dataclass
class SegmentMatches:
    """Matched pairs of all images, M of them, and what pixels they cover.

    Attributes:
        image: ``(M,)``, ascending.
        query: ``(M,)``, ascending within an image.
        target: ``(M,)``, index among the segments of the image.
        labels: ``(M,)``.
        masks: ``(M, P)`` shares of the P pixels; the segments of a pixel sum to 1.
        dice: ``(M,)`` of the masks.
        probability: ``(M,)`` of the class.
        void: ``(B, P)``, True where no matched segment is.
    """

    image: Tensor
    query: Tensor
    target: Tensor
    labels: Tensor
    masks: Tensor
    dice: Tensor
    probability: Tensor
    void: Tensor


@torch.no_grad()
def similarities(logits: Tensor, masks: Tensor, labels: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    """Dice of the masks and probability of the class for all pairs of one image, ``(N, n)`` each.

    Args:
        logits: ``(N, K + 1)``.
        masks: ``(N, P)`` logits over the queries.
        labels: ``(n,)``.
        segments: ``(n, P)``, 0 or 1; pixels in none of them do not count.

    Example:
        >>> masks = torch.tensor([[9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
        >>> segments = torch.tensor([[1.0, 1.0, 0.0]])
        >>> dice, _ = similarities(torch.zeros(2, 3), masks, torch.tensor([1]), segments)
        >>> dice.round(decimals=2).tolist()
        [[1.0], [0.0]]
    """
    probability = logits.float().softmax(-1)[:, :-1][:, labels]
    shares = masks.float().softmax(0) * (segments.sum(0) > 0)
    overlap = shares @ segments.t()
    size = (shares.sum(1)[:, None] + segments.sum(1)) / 2
    return overlap / (size + EPS), probability


@torch.no_grad()
def match(prediction: Prediction, targets: PanopticTargets) -> SegmentMatches:
    """Assign segments to queries so that the summed similarity is largest.

    With more segments than queries those that fit least stay unmatched, and their pixels are void.

    Args:
        prediction: masks at the size of the targets.
        targets: of the same images.
    """
    masks = prediction.masks.flatten(2)
    segments = [m.flatten(1).float() for m in targets.masks]
    pairs = [similarities(*image) for image in zip(prediction.logits, masks, targets.labels, segments)]
    chosen = _assign([dice * probability for dice, probability in pairs])
    device = masks.device
    image = torch.cat([torch.full((len(q),), i, device=device) for i, (q, _) in enumerate(chosen)])
    covered = [segments[i][target] for i, (_, target) in enumerate(chosen)]  # (m, P) each
    overlap = torch.stack([c.sum(0) for c in covered])  # (B, P)
    shares = torch.cat([c / o.clamp(min=1) for c, o in zip(covered, overlap)])
    return SegmentMatches(
        image=image,
        query=torch.cat([query for query, _ in chosen]),
        target=torch.cat([target for _, target in chosen]),
        labels=torch.cat([targets.labels[i][target] for i, (_, target) in enumerate(chosen)]),
        masks=shares,
        dice=torch.cat([pairs[i][0][choice] for i, choice in enumerate(chosen)]),
        probability=torch.cat([pairs[i][1][choice] for i, choice in enumerate(chosen)]),
        void=overlap < 1,
    )


def _assign(similarity: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Queries and targets of each image; all images travel to the CPU at once."""
    queries, counts = len(similarity[0]), [s.shape[1] for s in similarity]
    padded = [F.pad(s, (0, max(counts) - s.shape[1])) for s in similarity]
    matches = assign(-torch.stack(padded)[None], counts)
    sizes = [min(queries, count) for count in counts]
    return list(zip(matches.query.split(sizes), matches.target.split(sizes)))
