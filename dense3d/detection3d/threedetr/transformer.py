"""3DETR's transformer: an encoder of points, perhaps of neighbourhoods only, and a decoder of queries.

Misra et al., "An End-to-End Transformer Model for 3D Object Detection", ICCV 2021, sections 3.1 to 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.pointcloud.set_abstraction import PointFeatures, SetAbstraction

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


class PointEncoder(nn.Module):
    """Transformer on points without position embeddings or a last norm; 3DETR-m's with radii.

    With ``radii`` a point attends to points nearer than its layer's, and behind the first layer a set
    abstraction leaves some of the points. The official radii are 0.16, 0.64 and 1.44 m: 0.4, 0.8 and 1.2
    squared, compared with distances that are not; published weights expect them.

    Args:
        dim: channels.
        num_layers, num_heads, feedforward_dim, dropout: of the layers.
        activation: ``"relu"``, ``"gelu"`` or ``"leakyrelu"``.
        radii: metres, of each layer; None for attention to all points.
        downsampling: arguments of :class:`~dense3d.pointcloud.set_abstraction.SetAbstraction` behind the
            first layer; None for none.

    Shape:
        points ``(B, N, 3)`` with features ``(B, N, dim)`` to fewer or as many.

    Raises:
        ConfigError: there is not a radius for each layer, or an activation is unknown.

    Example:
        >>> seeds = PointFeatures(torch.rand(2, 9, 3), torch.rand(2, 9, 8), torch.arange(9).expand(2, -1))
        >>> PointEncoder(8, num_layers=2, num_heads=2)(seeds).features.shape
        torch.Size([2, 9, 8])
    """

    def __init__(
        self,
        dim: int,
        num_layers: int = 3,
        num_heads: int = 4,
        feedforward_dim: int = 128,
        dropout: float = 0.1,
        activation: str = "relu",
        radii: Sequence[float] | None = None,
        downsampling: dict | None = None,
    ) -> None:
        super().__init__()
        if radii is not None and len(radii) != num_layers:
            raise ConfigError(f"{len(radii)} radii for {num_layers} layers of an encoder: give one for each")
        self.layers = nn.ModuleList(
            EncoderLayer(dim, num_heads, feedforward_dim, dropout, activation) for _ in range(num_layers)
        )
        self.radii = radii
        self.downsampling = None
        if downsampling is not None:
            self.downsampling = SetAbstraction(in_channels=dim, **downsampling)

    def forward(self, seeds: PointFeatures) -> PointFeatures:
        """Encoded points; indices are places in the cloud, as those of the seeds."""
        points, tokens, indices = seeds
        for number, layer in enumerate(self.layers):
            radius = None if self.radii is None else self.radii[number]
            tokens = layer(tokens, None if radius is None else within(points, radius))
            if number == 0 and self.downsampling is not None:
                points, tokens, chosen = self.downsampling(points, tokens)
                indices = indices.gather(1, chosen)
        return PointFeatures(points, tokens, indices)


def within(points: Tensor, radius: float) -> Tensor:
    """``(B, N, N)`` bool: pairs of points ``(B, N, 3)`` nearer than the radius.

    Example:
        >>> within(torch.tensor([[[0.0, 0, 0], [1, 0, 0]]]), 1.0).tolist()
        [[[True, False], [False, True]]]
    """
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(points.detach(), points.detach(), compute_mode=exact) < radius


class DecoderLayer(nn.Module):
    """Self-attention of queries, attention to the encoded points, a feed-forward network; each pre-normed."""

    def __init__(self, dim: int, num_heads: int, feedforward_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = PointAttention(dim, num_heads, dropout)
        self.cross_attention = PointAttention(dim, num_heads, dropout)
        self.feedforward = FeedForward(dim, feedforward_dim, dropout, "relu")
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, content: Tensor, query_position: Tensor, memory: Tensor, key: Tensor) -> Tensor:
        """Content of queries ``(B, Q, dim)``; ``key`` is the memory with its positions."""
        normed = self.norm1(content)
        placed = normed + query_position
        content = content + self.dropout(self.self_attention(placed, placed, normed))
        placed = self.norm2(content) + query_position
        content = content + self.dropout(self.cross_attention(placed, key, memory))
        return content + self.dropout(self.feedforward(self.norm3(content)))


class BoxDecoderLayers(nn.Module):
    """Layers of the decoder, and one norm for the outputs of all of them.

    Args:
        dim: channels.
        num_layers, num_heads, feedforward_dim, dropout: of the layers.

    Shape:
        positions of queries ``(B, Q, dim)``, memory and its positions ``(B, N, dim)`` to
        ``(L, B, Q, dim)``.

    Example:
        >>> decoder = BoxDecoderLayers(8, num_layers=2, num_heads=2, feedforward_dim=16)
        >>> decoder(torch.rand(1, 5, 8), torch.rand(1, 7, 8), torch.rand(1, 7, 8)).shape
        torch.Size([2, 1, 5, 8])
    """

    def __init__(
        self,
        dim: int = 256,
        num_layers: int = 8,
        num_heads: int = 4,
        feedforward_dim: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(dim, num_heads, feedforward_dim, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, query_position: Tensor, memory: Tensor, memory_position: Tensor, content: Tensor | None = None
    ) -> Tensor:
        """Content of the queries behind every layer; ``content`` ``(B, Q, dim)`` is that before, or zero."""
        if content is None:
            content = torch.zeros_like(query_position)
        key = memory + memory_position
        found = []
        for layer in self.layers:
            content = layer(content, query_position, memory, key)
            found.append(self.norm(content))
        return torch.stack(found)
