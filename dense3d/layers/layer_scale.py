"""A learnt factor for each channel of a residual branch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LayerScale(nn.Module):
    """Multiplies every channel by its own ``gamma``.

    Touvron et al., "Going deeper with Image Transformers", ICCV 2021, eq. 4.

    Args:
        dim: channels.
        init: value that every ``gamma`` starts from.

    Shape:
        ``(..., dim)`` to the same.

    Example:
        >>> LayerScale(2, 0.5)(torch.ones(1, 2)).tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, dim: int, init: float = 1e-5) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), float(init)))

    def forward(self, x: Tensor) -> Tensor:
        """``x * gamma``."""
        return x * self.gamma
