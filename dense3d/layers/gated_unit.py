"""A feed-forward network with a gate, normed before the product."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class GatedUnit(nn.Module):
    """``proj_3(norm(gelu(proj_1 x)) * norm(proj_2 x))``, with one layer norm for both factors.

    The unit of Activator (arXiv:2405.15953), in the place of attention there.

    Args:
        dim: channels of a token.
        hidden_dim: channels of the gate.

    Shape:
        ``(..., dim)`` to the same.

    Example:
        >>> import torch
        >>> GatedUnit(8, 32)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.proj_1 = nn.Linear(dim, hidden_dim)
        self.proj_2 = nn.Linear(dim, hidden_dim)
        self.proj_3 = nn.Linear(hidden_dim, dim)
        self.norm = nn.LayerNorm(hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """The gated tokens."""
        return self.proj_3(self.norm(F.gelu(self.proj_1(x))) * self.norm(self.proj_2(x)))
