"""Random pixels for the losses that are too large for all of them."""

from __future__ import annotations

import torch
from torch import Tensor

# Added to the logit of void pixels, so that they are drawn only when nothing else is left.
VOID_PENALTY = -99999.0


def gumbel_top_k(logits: Tensor, number: int) -> Tensor:
    """Draw without replacement, with probabilities proportional to ``exp(logits)``.

    Kool et al., "Stochastic Beams and Where to Find Them", ICML 2019. Uses torch's global generator.

    Args:
        logits: ``(B, P)``.
        number: k; all P are drawn when there are fewer.

    Returns:
        ``(B, min(k, P))`` indices.

    Example:
        >>> gumbel_top_k(torch.tensor([[0.0, 200.0, -200.0]]), 2).tolist()
        [[1, 0]]
    """
    noise = -torch.log(-torch.log(torch.rand_like(logits)))
    return torch.topk(logits + noise, min(number, logits.shape[1]), dim=1).indices


def pixel_logits(inverse_area: Tensor, void: Tensor, temperature: float) -> Tensor:
    """Logits that favour pixels of small segments.

    Args:
        inverse_area: ``(B, P)``, pixels of the image over pixels of the pixel's segment.
        void: ``(B, P)``.
        temperature: 0 for uniform sampling; the larger, the stronger small segments are favoured.

    Example:
        >>> pixel_logits(torch.tensor([[1.0, 4.0]]), torch.tensor([[False, False]]), 0.5).exp()
        tensor([[1., 2.]])
    """
    return temperature * inverse_area.log() + VOID_PENALTY * void
