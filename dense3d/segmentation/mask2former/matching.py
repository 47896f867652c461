"""Hungarian matching of queries and segments on random points, for all layers and images at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.layers.assignment import MatchedPairs, assign
from dense3d.ops import point_sample
from dense3d.segmentation.mask2former.points import Draw, uniform


def pair_costs(
    logits: Tensor, masks: Tensor, labels: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Class, mask and dice cost of all pairs, ``(L, Q, n)`` each, unweighted.

    Args:
        logits: ``(L, Q, K + 1)``.
        masks: ``(L, Q, P)`` logits at points.
        labels: ``(n,)``.
        targets: ``(L, n, P)`` values of the segments at the same points.
    """
    by_class = -logits.float().softmax(-1)[..., labels]
    number = masks.shape[-1]
    transposed = targets.transpose(1, 2)  # (L, P, n)
    by_mask = (F.softplus(-masks) @ transposed + F.softplus(masks) @ (1 - transposed)) / number
    shares = masks.sigmoid()
    size = shares.sum(-1)[..., None] + targets.sum(-1)[:, None]
    by_dice = 1 - (2 * (shares @ transposed) + 1) / (size + 1)
    return by_class, by_mask, by_dice


class MaskMatcher:
    """One-to-one assignment of least total cost.

    Args:
        num_points: P; the same points for all masks of an image and layer.
        cost_class: weight of the class cost.
        cost_mask: weight of the mean cross-entropy at the points.
        cost_dice: weight of the dice cost.
        draw: source of the points; called once with ``(L * B, 1, P, 2)``.
    """

    def __init__(
        self,
        num_points: int = 12544,
        cost_class: float = 2.0,
        cost_mask: float = 5.0,
        cost_dice: float = 5.0,
        draw: Draw = uniform,
    ) -> None:
        self.num_points, self.draw = num_points, draw
        self.cost_class, self.cost_mask, self.cost_dice = cost_class, cost_mask, cost_dice

    @torch.no_grad()
    def costs(
        self, logits: Tensor, masks: Tensor, labels: list[Tensor], segments: list[Tensor]
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """:func:`pair_costs` of each image; arguments as for calling."""
        layers, batch = masks.shape[:2]
        points = self.draw((layers * batch, 1, self.num_points, 2), masks.device)
        points = points.view(layers, batch, self.num_points, 2)
        found = []
        for i, (label, segment) in enumerate(zip(labels, segments)):
            sampled = point_sample(masks[:, i].float(), points[:, i])  # (L, Q, P)
            # All layers' points in one call: the masks of the segments are the same for all.
            wanted = segment.new_zeros(0, layers * self.num_points, dtype=torch.float32)
            if len(segment):
                wanted = point_sample(segment[None].float(), points[:, i].flatten(0, 1)[None])[0]
            wanted = wanted.unflatten(1, (layers, -1)).transpose(0, 1)  # (L, n, P)
            found.append(pair_costs(logits[:, i], sampled, label, wanted))
        return found

    @torch.no_grad()
    def __call__(
        self, logits: Tensor, masks: Tensor, labels: list[Tensor], segments: list[Tensor]
    ) -> list[MatchedPairs]:
        """Matches of each of the L layers; with more segments than queries some stay unmatched.

        Args:
            logits: ``(L, B, Q, K + 1)``.
            masks: ``(L, B, Q, h, w)`` logits.
            labels: ``(n,)`` of each image.
            segments: ``(n, H, W)`` of each image.
        """
        layers, batch, queries = masks.shape[:3]
        counts = [len(label) for label in labels]
        table = masks.new_zeros(layers, batch, queries, max(counts, default=0), dtype=torch.float32)
        for i, costs in enumerate(self.costs(logits, masks, labels, segments)):
            table[:, i, :, : counts[i]] = self._total(costs)
        return assign(table, counts).by_layer(layers)

    def _total(self, costs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        by_class, by_mask, by_dice = costs
        return self.cost_mask * by_mask + self.cost_class * by_class + self.cost_dice * by_dice
