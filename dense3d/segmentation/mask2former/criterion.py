"""Losses of Mask2Former: class, mask and dice of every prediction, masks on sampled points.

Cheng et al., CVPR 2022 (arXiv:2112.01527), section 3.3; official code ``mask2former/modeling/criterion.py``.
Points instead of all pixels: Kirillov et al., "PointRend", CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.layers.assignment import MatchedPairs, assign, mean_number
from dense3d.ops import point_sample

WEIGHTS = {"ce": 2.0, "mask": 5.0, "dice": 5.0}
Draw = Callable[[Sequence[int], torch.device], Tensor]


def uniform(shape: Sequence[int], device: torch.device) -> Tensor:
    """Numbers in [0, 1) from torch's global generator of the device, so that a seed reproduces them."""
    return torch.rand(*shape, device=device)


@torch.no_grad()
def uncertain_points(
    logits: Tensor, number: int, oversample: float = 3.0, importance: float = 0.75, draw: Draw = uniform
) -> Tensor:
    """Points ``(M, number, 2)``, most of them where a mask is uncertain.

    Of ``oversample * number`` random points those ``importance * number`` with the smallest absolute logit,
    as sampled there, come first; the rest are new random points.

    Args:
        logits: ``(M, h, w)`` of M masks.
        number: P.
        oversample: candidates a point.
        importance: share of points chosen by uncertainty.
        draw: source of the uniform numbers.

    Returns:
        (x, y) in fractions of the map.

    Example:
        >>> uncertain_points(torch.zeros(2, 4, 4), number=8).shape
        torch.Size([2, 8, 2])
    """
    masks, certain = len(logits), int(importance * number)
    candidates = draw((masks, int(number * oversample), 2), logits.device)
    uncertainty = -point_sample(logits[:, None].float(), candidates)[:, 0].abs()
    chosen = uncertainty.topk(certain, dim=1).indices
    points = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    return torch.cat((points, draw((masks, number - certain, 2), logits.device)), dim=1)


def at_points(masks: Tensor, points: Tensor) -> Tensor:
    """Values of masks ``(M, h, w)`` at their own points ``(M, P, 2)``: ``(M, P)``.

    Example:
        >>> at_points(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[0.5, 0.5]]])).tolist()
        [[0.5]]
    """
    return point_sample(masks[:, None].float(), points)[:, 0]


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


class Mask2FormerCriterion:
    """Matching and losses.

    Args:
        num_classes: K, without void.
        weights: of the terms that differ from :data:`WEIGHTS`; the costs of matching have the same.
        void_weight: weight of queries without a segment in the class loss.
        num_points: P, points a mask.
        oversample: candidates a point, see :func:`uncertain_points`.
        importance: share of points chosen by uncertainty.
        draw: source of all random points: of the matching of all layers, the final one first, then of the
            losses of the final and of the earlier predictions in turn.
    """

    def __init__(
        self,
        num_classes: int,
        weights: dict[str, float] | None = None,
        void_weight: float = 0.1,
        num_points: int = 12544,
        oversample: float = 3.0,
        importance: float = 0.75,
        draw: Draw = uniform,
    ) -> None:
        self.num_classes = num_classes
        self.weights = WEIGHTS | (weights or {})
        self.void_weight, self.num_points = void_weight, num_points
        self.oversample, self.importance, self.draw = oversample, importance, draw
        costs = {f"cost_{'class' if name == 'ce' else name}": value for name, value in self.weights.items()}
        self.matcher = MaskMatcher(num_points, draw=draw, **costs)

    def __call__(
        self,
        logits: Sequence[Tensor],
        masks: Sequence[Tensor],
        labels: list[Tensor],
        segments: list[Tensor],
    ) -> dict[str, Tensor]:
        """Weighted losses, ``loss_<term>`` of the final prediction and ``loss_<term>_<i>`` of earlier ones.

        Args:
            logits: ``(B, Q, K + 1)`` of each prediction in turn.
            masks: ``(B, Q, h, w)`` logits of each prediction.
            labels: ``(n,)`` of each image.
            segments: ``(n, H, W)`` of each image, at the size of the network's input.
        """
        terms = self.terms(logits, masks, labels, segments)
        return {f"loss_{name}": loss * self.weights[name.split("_")[0]] for name, loss in terms.items()}

    def terms(
        self,
        logits: Sequence[Tensor],
        masks: Sequence[Tensor],
        labels: list[Tensor],
        segments: list[Tensor],
    ) -> dict[str, Tensor]:
        """Unweighted terms, in single precision; arguments as for calling."""
        with torch.autocast(masks[0].device.type, enabled=False):
            order = [len(masks) - 1, *range(len(masks) - 1)]
            logits, masks = ([values[i].float() for i in order] for values in (logits, masks))
            matches = self.matcher(torch.stack(logits), torch.stack(masks), labels, segments)
            number = mean_number(sum(map(len, labels)), masks[0].device)
            terms = {}
            for layer, match in enumerate(matches):
                suffix = f"_{layer - 1}" if layer else ""
                mask, dice = self._mask_terms(masks[layer], segments, match, number)
                found = {"ce": self._class_term(logits[layer], labels, match), "mask": mask, "dice": dice}
                terms |= {f"{name}{suffix}": value for name, value in found.items()}
            return terms

    def _class_term(self, logits: Tensor, labels: list[Tensor], match: MatchedPairs) -> Tensor:
        target = torch.full(logits.shape[:2], self.num_classes, device=logits.device)
        target[match.image, match.query] = _gathered(labels, match)
        weight = logits.new_ones(self.num_classes + 1)
        weight[-1] = self.void_weight
        return F.cross_entropy(logits.transpose(1, 2), target, weight)

    def _mask_terms(
        self, masks: Tensor, segments: list[Tensor], match: MatchedPairs, number: Tensor
    ) -> tuple[Tensor, Tensor]:
        matched = masks[match.image, match.query]  # (M, h, w)
        if len(matched) == 0:
            zero = masks.sum() * 0
            return zero, zero
        points = uncertain_points(
            matched.detach(), self.num_points, self.oversample, self.importance, self.draw
        )
        wanted = at_points(_gathered(segments, match), points)
        predicted = at_points(matched, points)  # (M, P)
        mask = F.binary_cross_entropy_with_logits(predicted, wanted, reduction="none").mean(1).sum()
        shares = predicted.sigmoid()
        dice = 1 - (2 * (shares * wanted).sum(1) + 1) / (shares.sum(1) + wanted.sum(1) + 1)
        return mask / number, dice.sum() / number


def _gathered(values: list[Tensor], match: MatchedPairs) -> Tensor:
    """Values of the matched segments, in the order of the pairs."""
    return torch.cat([value[match.target[match.image == i]] for i, value in enumerate(values)])
