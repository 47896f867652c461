"""Every loss of a training step, named as the official code names them."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.detection2d.relation_detr.criterion import SetCriterion
from dense3d.detection2d.relation_detr.denoising import DenoisingQueries, target_numbers
from dense3d.detection2d.relation_detr.matching import Targets
from dense3d.detection2d.relation_detr.selection import Selection
from dense3d.layers.assignment import MatchedPairs, mean_number

Branch = tuple[Selection, Tensor, Tensor]  # selection, logits (L, B, Q, classes), boxes (L, B, Q, 4)


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
        self, main: Branch, denoising: DenoisingQueries | None, hybrid: Branch | None, targets: Targets
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
        targets: Targets,
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
        targets: Targets,
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
