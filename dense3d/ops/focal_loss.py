"""Focal loss on sigmoid and on softmax scores.

Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops.dispatch import register_backend

REDUCTIONS = ("none", "mean", "sum")


def sigmoid_focal_loss(
    logits: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Focal loss of one independent score per class.

    Args:
        logits: ``(N, C)``.
        target: class of each row ``(N,)``, int64; a value outside of [0, C) is background.
        gamma: how much well classified examples count less.
        alpha: weight of the positive class, ``1 - alpha`` being that of the others.
        weight: per class ``(C,)``, applied to the whole row of a target of that class.
        reduction: ``"none"``, ``"sum"``, or ``"mean"``, which divides the sum by N.

    Returns:
        ``(N, C)`` or a scalar.

    Raises:
        ValueError: ``reduction`` is another word.

    Example:
        >>> round(sigmoid_focal_loss(torch.zeros(1, 1), torch.tensor([0])).item(), 4)  # 0.25 * 0.5^2 * ln 2
        0.0433
    """
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    positive = target[:, None] == torch.arange(logits.shape[1], device=logits.device)
    # (1 - p)^gamma as exp(gamma log(1 - p)): its gradient stays finite where p is 0 or 1
    loss = torch.where(
        positive,
        -alpha * (gamma * log_not_p).exp() * log_p,
        -(1 - alpha) * (gamma * log_p).exp() * log_not_p,
    )
    if weight is not None:
        loss = loss * _row_weight(weight, target, logits)[:, None]
    return _reduced(loss, reduction, len(logits))


def softmax_focal_loss(
    logits: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Focal loss of exclusive classes.

    Args:
        logits: ``(N, C)``.
        target: class of each row ``(N,)``, int64; a negative one does not count.
        gamma, alpha, weight, reduction: as in :func:`sigmoid_focal_loss`; ``alpha`` scales every class.

    Returns:
        ``(N,)`` or a scalar.

    Raises:
        ValueError: ``reduction`` is another word.

    Example:
        >>> round(softmax_focal_loss(torch.zeros(1, 2), torch.tensor([0])).item(), 4)  # 0.25 * 0.5^2 * ln 2
        0.0433
    """
    log_p = logits.log_softmax(1).gather(1, target.clamp(min=0)[:, None])[:, 0]  # (N,)
    # the limit keeps the power's gradient finite for gamma < 1
    not_p = (-log_p.expm1()).clamp(min=torch.finfo(log_p.dtype).tiny)
    loss = torch.where(target >= 0, -alpha * not_p**gamma * log_p, 0)
    if weight is not None:
        loss = loss * _row_weight(weight, target, logits)
    return _reduced(loss, reduction, len(logits))


def _row_weight(weight: Tensor, target: Tensor, logits: Tensor) -> Tensor:
    known = (target >= 0) & (target < len(weight))
    return torch.where(known, weight[target.clamp(0, len(weight) - 1)], 1).to(logits)


def _reduced(loss: Tensor, reduction: str, rows: int) -> Tensor:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {REDUCTIONS}, not {reduction!r}")
    if reduction == "none":
        return loss
    return loss.sum() / rows if reduction == "mean" else loss.sum()


register_backend("sigmoid_focal_loss", "torch", implementation=sigmoid_focal_loss)
register_backend("softmax_focal_loss", "torch", implementation=softmax_focal_loss)
