"""Losses of ViDT and ViDT+: classes, boxes, their overlap, mask vectors, labels of tokens.

Song et al., ViDT (arXiv 2110.03921), section 3.3, and ViDT+ (arXiv 2204.07962), section 4; names and weights
are those of the official code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert, sigmoid_focal_loss

from dense3d.detection2d.vidt.targets import Targets
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.assignment import MatchedPairs, iou_and_giou, mean_number
from dense3d.layers.box_matching import BoxMatcher

Losses = dict[str, Tensor]
WEIGHTS = {
    "ce": 2.0,
    "bbox": 5.0,
    "giou": 2.0,
    "iouaware": 2.0,
    "vector": 1.0,
    "token_focal": 2.0,
    "token_dice": 2.0,
}
VECTOR_SCALE = 3.0  # of the L1 distance of mask vectors, in the loss itself


@dataclass
class Predictions:
    """What the heads say of every layer, the body's tokens first."""

    logits: Tensor  # (L, B, Q, classes)
    boxes: Tensor  # (L, B, Q, 4) cxcywh in [0, 1]
    ious: Tensor | None = None  # (L, B, Q, 1) logits of the overlap with the object
    vectors: Tensor | None = None  # (L, B, Q, K) of masks
    tokens: list[Tensor] | None = None  # (B, h_i, w_i, token classes) logits


class ViDTCriterion:
    """Losses of all layers, matched one by one.

    Args:
        weights: factors that differ from :data:`WEIGHTS`.
        alpha, gamma: of the focal losses.
        matcher: arguments of :class:`~dense3d.layers.BoxMatcher`.

    Raises:
        ConfigError: a weight of no loss.
    """

    def __init__(
        self,
        weights: dict[str, float] | None = None,
        alpha: float = 0.25,
        gamma: float = 2.0,
        matcher: dict | None = None,
    ) -> None:
        for name in weights or {}:
            if name not in WEIGHTS:
                raise ConfigError(
                    f"criterion.weights has no {name!r}{did_you_mean(name, WEIGHTS)} "
                    f"(known: {', '.join(WEIGHTS)})"
                )
        self.weights = WEIGHTS | (weights or {})
        self.alpha, self.gamma = alpha, gamma
        self.matcher = BoxMatcher(**dict(eps=1e-8) | (matcher or {}))

    @torch.compiler.disable  # the matching is scipy's, and numbers of targets change with every batch
    def __call__(self, predictions: Predictions, targets: Targets) -> Losses:
        """All weighted losses: of the last layer ``loss_ce`` ..., before it ``loss_ce_0`` ..."""
        matches = self.matcher(predictions.logits, predictions.boxes, targets)
        divisor = mean_number(sum(targets.counts), predictions.boxes.device)
        terms = self.terms(predictions, targets, matches, divisor)
        last = len(predictions.logits) - 1
        losses = {
            f"loss_{name}{'' if layer == last else f'_{layer}'}": self.weights[name] * value
            for name, values in terms.items()
            for layer, value in enumerate(values)
        }
        if predictions.tokens is not None:
            found = self.token_terms(predictions.tokens, targets, divisor)
            losses |= {f"loss_{name}": self.weights[name] * value for name, value in found.items()}
        return losses

    def terms(
        self, predictions: Predictions, targets: Targets, matches: MatchedPairs, divisor: Tensor
    ) -> Losses:
        """Unweighted losses of matched predictions, each ``(L,)``; ``divisor`` is the number of targets."""
        logits, boxes = predictions.logits.float(), predictions.boxes.float()
        place = (matches.layer, matches.image, matches.query)
        labels = targets.labels[matches.image, matches.target]
        predicted, wanted = boxes[place], targets.boxes[matches.image, matches.target].float()  # (M, 4)
        iou, giou = iou_and_giou(*(box_convert(b, "cxcywh", "xyxy") for b in (predicted, wanted)))
        positive = torch.zeros_like(logits).index_put((*place, labels), logits.new_ones(()))
        focal = sigmoid_focal_loss(logits, positive, self.alpha, self.gamma).sum((1, 2, 3))

        def by_layer(values: Tensor) -> Tensor:
            return values.new_zeros(len(logits)).index_add(0, matches.layer, values)

        found = {
            "ce": focal / divisor,
            "bbox": by_layer((predicted - wanted).abs().sum(-1)) / divisor,
            "giou": by_layer(1 - giou) / divisor,
        }
        if predictions.ious is not None:
            said = predictions.ious.float()[place][:, 0]
            # The overlap keeps its gradient, which therefore moves the boxes too.
            surprise = F.binary_cross_entropy_with_logits(said, iou, reduction="none")
            found["iouaware"] = by_layer(surprise) / divisor
        if predictions.vectors is not None:
            aim = targets.vectors[matches.among_all(targets.counts)]  # (M, K)
            distance = (predictions.vectors.float()[place] - aim).abs().mean(-1)
            pairs = by_layer(torch.ones_like(distance)).clamp(min=1)
            found["vector"] = VECTOR_SCALE * by_layer(distance) / pairs
        return found

    def token_terms(self, tokens: Sequence[Tensor], targets: Targets, divisor: Tensor) -> Losses:
        """Unweighted focal and dice losses of token labels, summed over the levels."""
        focal = dice = 0.0
        for logits, shares in zip(tokens, targets.shares, strict=True):
            logits, shares = logits.float().flatten(1, 2), shares.flatten(1, 2)  # (B, h w, classes)
            focal = focal + sigmoid_focal_loss(logits, shares, self.alpha, self.gamma).mean(1).sum()
            likely = logits.sigmoid()
            both, either = (likely * shares).sum((1, 2)), (likely + shares).sum((1, 2))
            dice = dice + (1 - (2 * both + 1) / (either + 1)).sum()
        return {"token_focal": focal / divisor, "token_dice": dice / divisor}
