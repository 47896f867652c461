"""Stochastic depth: a residual branch is left out for whole samples while training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError


class DropPath(nn.Module):
    """Sets the branch of a sample to zero with probability ``rate`` and scales the others by 1 / (1 - rate).

    Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016.

    Args:
        rate: probability that a sample loses the branch, in [0, 1).

    Shape:
        any ``(B, ...)`` to the same; the identity in evaluation mode or with rate 0.

    Raises:
        ConfigError: ``rate`` is outside [0, 1).

    Example:
        >>> branch = DropPath(0.5).eval()
        >>> branch(torch.ones(2, 3)).sum()
        tensor(6.)
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ConfigError(f"drop path rate {rate:g}: give a probability from 0 to below 1")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """The branch with the samples that were drawn set to zero."""
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        return x * torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(keep) / keep

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"
