"""Leaving out tokens that do not matter: an interpreter that scores them, and running blocks on the rest.

Pan et al., "IA-RED^2: Interpretability-Aware Redundancy Reduction for Vision Transformers", NeurIPS 2021
(arXiv:2106.12620).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError


class Interpreter(nn.Module):
    """Scores every token against the class token: the mean over heads of the sigmoid of their products.

    The matrix is three times as wide as a token, as in the official files, and its last third is not used.

    Args:
        dim: channels of a token.
        num_heads: heads, a divisor of ``dim``.

    Shape:
        tokens ``(B, N, dim)``, class token first, to scores ``(B, N)``.

    Raises:
        ConfigError: the heads do not divide ``dim``.

    Example:
        >>> Interpreter(12)(torch.zeros(2, 5, 12)).shape
        torch.Size([2, 5])
    """

    def __init__(self, dim: int, num_heads: int = 6) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        self.qk = nn.Linear(dim, 3 * dim)

    def forward(self, tokens: Tensor, kept: Tensor | None = None) -> Tensor:
        """Scores of tokens; 0 for those that ``kept`` ``(B, N)`` has left out before."""
        if kept is not None:
            tokens = tokens * kept.to(tokens.dtype)[..., None]
        dim = tokens.shape[2]
        normed = F.layer_norm(tokens, (dim,))
        weights, biases = self.qk.weight.split(dim), self.qk.bias.split(dim)
        query, key = (
            F.linear(x, weight, bias).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((normed[:, :1], normed), weights, biases)
        )  # (B, heads, 1, d), (B, heads, N, d)
        scores = (query @ key.transpose(2, 3) * self.scale).sigmoid()[:, :, 0].mean(1)
        return scores if kept is None else scores * kept.to(scores.dtype)


def on_kept_tokens(function: Callable[[Tensor, Tensor], Tensor], tokens: Tensor, kept: Tensor) -> Tensor:
    """Run a function of token sequences on the kept tokens alone; the others stay as they are.

    Samples of a batch are filled up to the longest one with tokens that are not kept, which the function has
    to leave out where tokens see each other.

    Args:
        function: takes tokens ``(B, K, D)`` and which of them are kept ``(B, K)``, gives ``(B, K, D)``.
        tokens: ``(B, N, D)``.
        kept: ``(B, N)``, true for tokens that are kept, of which each sample has one or more.

    Returns:
        ``(B, N, D)``.

    Example:
        >>> tokens, kept = torch.ones(1, 3, 1), torch.tensor([[True, False, True]])
        >>> on_kept_tokens(lambda x, mask: 2 * x, tokens, kept).flatten().tolist()
        [2.0, 1.0, 2.0]
    """
    count = int(kept.sum(1).max())
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, :count]  # (B, K), in the order of tokens
    index = order[..., None].expand(-1, -1, tokens.shape[2])
    mask, gathered = kept.gather(1, order), tokens.gather(1, index)
    result = torch.where(mask[..., None], function(gathered, mask), gathered)
    return tokens.scatter(1, index, result)
