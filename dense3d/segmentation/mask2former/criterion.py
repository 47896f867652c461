"""Losses of Mask2Former: class, mask and dice of every prediction, masks on sampled points.

Cheng et al., CVPR 2022 (arXiv:2112.01527); official code ``mask2former/modeling/criterion.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.layers.assignment import MatchedPairs, mean_number
from dense3d.segmentation.mask2former.matching import MaskMatcher
from dense3d.segmentation.mask2former.points import Draw, at_points, uncertain_points, uniform

WEIGHTS = {"ce": 2.0, "mask": 5.0, "dice": 5.0}


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
            return self._terms(logits, masks, labels, segments)

    def _terms(
        self,
        logits: Sequence[Tensor],
        masks: Sequence[Tensor],
        labels: list[Tensor],
        segments: list[Tensor],
    ) -> dict[str, Tensor]:
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
