"""Attention, feed-forward network and encoder layer of 3DETR, which masked autoencoders of scenes share.

Misra et al., "An End-to-End Transformer Model for 3D Object Detection", ICCV 2021, section 3.1.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "leakyrelu": lambda: nn.LeakyReLU(0.1)}


class PointAttention(nn.Module):
    """Multi-head attention with one matrix for queries, keys and values, on torch's fused kernel.

    Args:
        dim: channels.
        num_heads: a divisor of ``dim``.
        dropout: of the attention's weights.

    Shape:
        queries ``(B, Q, dim)``, keys and values ``(B, N, dim)`` to ``(B, Q, dim)``.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj, self.out_proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        for layer in (self.in_proj, self.out_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Attention; ``allowed`` ``(B, Q, N)`` says which keys a query may see, all unless given."""
        parts = zip((query, key, value), self.in_proj.weight.chunk(3), self.in_proj.bias.chunk(3))
        heads = (F.linear(x, w, b).unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x, w, b in parts)
        mask = None if allowed is None else allowed[:, None]
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(*heads, attn_mask=mask, dropout_p=dropout)  # (B, M, Q, d)
        return self.out_proj(found.transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    """Linear, activation, dropout, linear, with Xavier-uniform matrices."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float, activation: str) -> None:
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        super().__init__(
            nn.Linear(dim, hidden_dim),
            ACTIVATIONS[activation](),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, dim),
        )
        for layer in (self[0], self[3]):
            nn.init.xavier_uniform_(layer.weight)


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each on normalised tokens and added to them."""

    def __init__(
        self, dim: int, num_heads: int, feedforward_dim: int, dropout: float, activation: str
    ) -> None:
        super().__init__()
        self.attention = PointAttention(dim, num_heads, dropout)
        self.feedforward = FeedForward(dim, feedforward_dim, dropout, activation)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Tokens ``(B, N, dim)``; ``allowed`` as for :class:`PointAttention`."""
        normed = self.norm1(tokens)
        tokens = tokens + self.dropout(self.attention(normed, normed, normed, allowed))
        return tokens + self.dropout(self.feedforward(self.norm2(tokens)))
