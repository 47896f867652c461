"""Losses of matched predictions, for all layers of a decoder at once, and every loss of a training step.

Varifocal loss: Zhang et al., "VarifocalNet" (arXiv 2008.13367); focal loss: Lin et al., 2017. Names are those
of the official code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert, sigmoid_focal_loss

from dense3d.detection2d.relation_detr.denoising import DenoisingQueries, target_numbers
from dense3d.detection2d.relation_detr.queries import Selection
from dense3d.errors import ConfigError
from dense3d.layers.assignment import MatchedPairs, iou_and_giou, mean_number
from dense3d.layers.box_matching import BoxMatcher, BoxTargets

Losses = dict[str, Tensor]
Branch = tuple[Selection, Tensor, Tensor]  # selection, logits (L, B, Q, classes), boxes (L, B, Q, 4)


class SetCriterion:
    """Class, L1 and GIoU losses of every layer.

    Args:
        class_loss: ``"varifocal"`` or ``"focal"``.
        alpha: of the class loss.
        gamma: of the class loss.
        loss_class_weight: factor of the class loss.
        loss_bbox_weight: factor of the L1 loss.
        loss_giou_weight: factor of the GIoU loss.
        matcher: arguments of :class:`BoxMatcher`.

    Raises:
        ConfigError: another class loss.
    """

    def __init__(
        self,
        class_loss: str = "varifocal",
        alpha: float = 0.25,
        gamma: float = 2.0,
        loss_class_weight: float = 1.0,
        loss_bbox_weight: float = 5.0,
        loss_giou_weight: float = 2.0,
        matcher: dict | None = None,
    ):
        if class_loss not in ("varifocal", "focal"):
            raise ConfigError(f'criterion: class_loss={class_loss!r} is neither "varifocal" nor "focal"')
        self.class_loss, self.alpha, self.gamma = class_loss, alpha, gamma
        self.weights = {"class": loss_class_weight, "bbox": loss_bbox_weight, "giou": loss_giou_weight}
        self.matcher = BoxMatcher(**(matcher or {}))

    def __call__(
        self,
        logits: Tensor,
        boxes: Tensor,
        targets: BoxTargets,
        matches: MatchedPairs,
        divisor: Tensor | float,
    ) -> Losses:
        """Weighted losses ``class``, ``bbox`` and ``giou``, each ``(L,)``.

        Args:
            logits: ``(L, B, Q, classes)``.
            boxes: ``(L, B, Q, 4)`` cxcywh in [0, 1].
            targets: of the B images.
            matches: which prediction has which target; the others are background.
            divisor: number of targets.
        """
        logits, boxes = logits.float(), boxes.float()
        place = (matches.layer, matches.image, matches.query)
        predicted, wanted = boxes[place], targets.boxes[matches.image, matches.target].float()  # (M, 4)
        labels = targets.labels[matches.image, matches.target]
        corners = (box_convert(b, "cxcywh", "xyxy") for b in (predicted, wanted))
        iou, giou = iou_and_giou(*corners)
        per_layer = {
            "class": self._class_loss(logits, (*place, labels), iou.detach()),
            "bbox": _sum_by_layer((predicted - wanted).abs().sum(-1), matches.layer, len(logits)),
            "giou": _sum_by_layer(1 - giou, matches.layer, len(logits)),
        }
        return {name: self.weights[name] * loss / divisor for name, loss in per_layer.items()}

    def _class_loss(self, logits: Tensor, matched: tuple[Tensor, ...], iou: Tensor) -> Tensor:
        """Sum over images, queries and classes ``(L,)``; ``matched`` indexes all four dimensions."""
        if self.class_loss == "focal":
            wanted = torch.zeros_like(logits).index_put(matched, torch.ones_like(iou))
            return sigmoid_focal_loss(logits, wanted, self.alpha, self.gamma).sum((1, 2, 3))
        # The target of the right class is the quality of its box, and so is its weight.
        quality = torch.zeros_like(logits).index_put(matched, iou)
        weight = (1 - self.alpha) * logits.detach().sigmoid() ** self.gamma
        weight = weight.index_put(matched, iou)
        return F.binary_cross_entropy_with_logits(logits, quality, weight, reduction="none").sum((1, 2, 3))


def _sum_by_layer(values: Tensor, layer: Tensor, num_layers: int) -> Tensor:
    return values.new_zeros(num_layers).index_add(0, layer, values)


class TrainingLosses:
    """Losses of the main branch, its denoising queries and the hybrid branch.

    Divisors are numbers of targets (times groups, or times ``assign``), averaged over the processes and at
    least 1.

    Args:
        criterion: losses of matched predictions.
        assign: how often the hybrid branch assigns each target.
    """

    def __init__(self, criterion: SetCriterion, assign: int):
        self.criterion, self.assign = criterion, assign

    @torch.compiler.disable  # the matching is scipy's, and numbers of targets change with every batch
    def __call__(
        self, main: Branch, denoising: DenoisingQueries | None, hybrid: Branch | None, targets: BoxTargets
    ) -> dict[str, Tensor]:
        """All weighted losses of the branches against ``targets``.

        Args:
            main: its queries follow the denoising ones.
            denoising: denoising queries, if any.
            hybrid: second branch, if any.
            targets: of the batch.
        """
        selection, logits, boxes = main
        groups = 0 if denoising is None else denoising.groups
        number, noised, copied = self._divisors(sum(targets.counts), groups, logits.device)
        first = 0 if denoising is None else denoising.content.shape[1]
        losses = self.branch(selection, logits[:, :, first:], boxes[:, :, first:], targets, number)
        if denoising is not None:
            losses |= self.denoising(logits[:, :, :first], boxes[:, :, :first], denoising, targets, noised)
        if hybrid is not None:
            second = self.branch(*hybrid, targets, copied, self.assign)
            losses |= {f"{name}_hybrid": loss for name, loss in second.items()}
        return losses

    def branch(
        self,
        selection: Selection,
        logits: Tensor,
        boxes: Tensor,
        targets: BoxTargets,
        divisor: Tensor | float,
        copies: int = 1,
    ) -> dict[str, Tensor]:
        """Losses of all decoder layers and of the selected proposals."""
        logits = torch.cat((logits, selection.logits[None].to(logits.dtype)))
        boxes = torch.cat((boxes, selection.boxes[None]))
        matches = self.criterion.matcher(logits, boxes, targets, copies)
        losses = self.criterion(logits, boxes, targets, matches, divisor)
        return _named(losses, [*_layer_suffixes(len(logits) - 1), "_enc"])

    def denoising(
        self,
        logits: Tensor,
        boxes: Tensor,
        queries: DenoisingQueries,
        targets: BoxTargets,
        divisor: Tensor | float,
    ) -> dict[str, Tensor]:
        """Losses of the denoising queries, which know their targets."""
        image, target = target_numbers(targets.counts, logits.device)  # (T,)
        slot = queries.positive_slots(target).expand(len(logits), -1, -1)  # (L, groups, T)
        layer = torch.arange(len(logits), device=logits.device)[:, None, None]
        matches = MatchedPairs(*(t.expand_as(slot).flatten() for t in (layer, image, slot, target)))
        losses = self.criterion(logits, boxes, targets, matches, divisor)
        return _named(losses, [f"_dn{suffix}" for suffix in _layer_suffixes(len(logits))])

    def _divisors(self, number: int, groups: int, device: torch.device) -> tuple[Tensor, ...]:
        """Of the main branch, of the denoising queries, of the hybrid branch."""
        return mean_number([number, number * groups, number * self.assign], device).unbind()


def _layer_suffixes(number: int) -> list[str]:
    return [f"_{layer}" for layer in range(number - 1)] + [""]


def _named(losses: dict[str, Tensor], suffixes: list[str]) -> dict[str, Tensor]:
    return {
        f"loss_{name}{suffix}": loss[layer]
        for layer, suffix in enumerate(suffixes)
        for name, loss in losses.items()
    }
