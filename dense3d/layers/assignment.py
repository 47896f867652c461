"""One-to-one assignment of predictions to targets: what matchers and criteria of set predictors share.

Carion et al., "End-to-End Object Detection with Transformers" (DETR), ECCV 2020, section 3.1. A matcher has
its own cost; :func:`assign` solves it for all decoder layers and images at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor

from dense3d.ops import linear_sum_assignment

EPS = 1e-7  # least area that is divided by


@dataclass
class MatchedPairs:
    """Matched pairs; four vectors of one length, sorted by layer, image, group and query."""

    layer: Tensor
    image: Tensor
    query: Tensor
    target: Tensor  # number among the targets of its image

    def by_layer(self, layers: int) -> list[MatchedPairs]:
        """The pairs of each of the layers, of which all have equally many."""
        parts = (values.chunk(layers) for values in vars(self).values())
        return [MatchedPairs(*values) for values in zip(*parts)]

    def among_all(self, counts: Sequence[int]) -> Tensor:
        """``target`` as an index into the targets of all images, one image's after the other's.

        Args:
            counts: targets of each image.
        """
        first = torch.tensor([0, *accumulate(counts)], device=self.target.device)
        return first[self.image] + self.target


@torch.no_grad()
def assign(cost: Tensor, counts: Sequence[int], groups: int = 1, copies: int = 1) -> MatchedPairs:
    """Assignments of least total cost, of each layer, image and group of queries on its own.

    With more targets than queries some targets stay unmatched. Costs that are not finite never raise: such
    pairs are matched last, and the NaN shows up in the loss.

    Args:
        cost: ``(L, B, groups * Q, N)``; all layers and images travel to the CPU at once.
        counts: targets of each image; columns behind that number are padding.
        groups: groups of queries, each of which is matched with all targets.
        copies: queries of a group that each target may have.

    Example:
        >>> cost = torch.tensor([[0.0, 9.0], [9.0, 0.0], [1.0, 8.0]])[None, None]
        >>> matches = assign(cost, [2])
        >>> matches.query.tolist(), matches.target.tolist()
        ([0, 1], [0, 1])
    """
    table = cost.detach().cpu().double().unflatten(2, (groups, -1)).numpy()  # (L, B, groups, Q, N)
    found = [np.zeros((4, 0), np.int64)]
    for layer, image, group in np.ndindex(table.shape[:3]):
        count = counts[image]
        block = np.tile(table[layer, image, group, :, :count], copies)  # (Q, copies * n)
        query, column = linear_sum_assignment(block)
        pairs = (layer, image, query + group * len(block), column % max(1, count))
        found.append(np.stack(np.broadcast_arrays(*pairs)))
    return MatchedPairs(*torch.from_numpy(np.concatenate(found, axis=1)).to(cost.device))


def own_pairs(cost: Tensor, counts: Sequence[int]) -> Tensor:
    """From the cost of all pairs of a batch to that of the pairs within an image, padded with zeros.

    Args:
        cost: ``(B * Q, T)``, queries and targets image by image.
        counts: targets of each of the B images; their sum is T.

    Returns:
        ``(B, Q, N)`` for at most N targets in an image.

    Example:
        >>> own_pairs(torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), [2, 1]).tolist()
        [[[1.0, 2.0]], [[3.0, 0.0]]]
    """
    blocks = cost.unflatten(0, (len(counts), -1)).split(list(counts), dim=2)
    most = max(counts)
    return torch.stack([F.pad(b[image], (0, most - b.shape[2])) for image, b in enumerate(blocks)])


def focal_cost(probability: Tensor, alpha: float = 0.25, gamma: float = 2.0, eps: float = 1e-8) -> Tensor:
    """Class cost of a match: the focal loss of the target's class, minus its loss if there were no target.

    Zhu et al., "Deformable DETR", ICLR 2021, as its official code has it.

    Args:
        probability: of the target's class, any shape.
        alpha, gamma: of the focal loss (Lin et al., 2017).
        eps: added within the logarithms.

    Example:
        >>> focal_cost(torch.tensor([0.25, 0.5])).round(decimals=3).tolist()
        [0.1809999942779541, -0.08699999749660492]
    """
    positive = alpha * (1 - probability) ** gamma * -torch.log(probability + eps)
    negative = (1 - alpha) * probability**gamma * -torch.log(1 - probability + eps)
    return positive - negative


def iou_and_giou(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of XYXY boxes ``(..., 4)``, whose shapes broadcast; 0 for empty boxes.

    Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019.

    Example:
        >>> iou, giou = iou_and_giou(torch.tensor([0.0, 0, 1, 1]), torch.tensor([0.0, 0, 0.5, 1]))
        >>> round(iou.item(), 4), round(giou.item(), 4)
        (0.5, 0.5)
    """
    overlap = torch.minimum(boxes[..., 2:], others[..., 2:]) - torch.maximum(boxes[..., :2], others[..., :2])
    hull = torch.maximum(boxes[..., 2:], others[..., 2:]) - torch.minimum(boxes[..., :2], others[..., :2])
    intersection = overlap.clamp(min=0).prod(-1)
    area, other_area = ((part[..., 2:] - part[..., :2]).prod(-1) for part in (boxes, others))
    union = area + other_area - intersection
    hull_area = hull.prod(-1)
    iou = intersection / union.clamp(min=EPS)
    return iou, iou - (hull_area - union) / hull_area.clamp(min=EPS)


def mean_number(number: float | Sequence[float], device: torch.device) -> Tensor:
    """Numbers of targets, averaged over the processes and at least 1: what losses are divided by.

    Args:
        number: of this process, one or several.
        device: of the result.

    Example:
        >>> mean_number([0, 12], torch.device("cpu")).tolist()
        [1.0, 12.0]
    """
    mean = torch.tensor(number, dtype=torch.float32, device=device)
    all_reduce(mean, op="mean")
    return mean.clamp(min=1)
