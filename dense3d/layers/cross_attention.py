"""Attention of one sequence of tokens to another, and the transformer decoder block around it."""

from __future__ import annotations

from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention, biased_attention
from dense3d.layers.mlp import FeedForward
from dense3d.layers.rotary import Rotation, rotate


class CrossAttention(nn.Module):
    """Every token attends to every token of a memory.

    Vaswani et al., "Attention Is All You Need", 2017, with separate projections ``projq``, ``projk`` and
    ``projv``, on PyTorch's fused kernels.

    Args:
        dim: channels of a token.
        num_heads: M, a divisor of ``dim``.
        qkv_bias: whether the three projections have biases.

    Shape:
        tokens ``(B, N, dim)`` and memory ``(B, K, dim)`` to ``(B, N, dim)``.

    Raises:
        ConfigError: ``dim`` is no multiple of ``num_heads``.

    Example:
        >>> import torch
        >>> CrossAttention(8, 2)(torch.zeros(2, 5, 8), torch.zeros(2, 7, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        self.num_heads = num_heads
        self.projq = nn.Linear(dim, dim, bias=qkv_bias)
        self.projk = nn.Linear(dim, dim, bias=qkv_bias)
        self.projv = nn.Linear(dim, dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self,
        tokens: Tensor,
        memory: Tensor,
        rotation: Rotation | None = None,
        memory_rotation: Rotation | None = None,
    ) -> Tensor:
        """Attention of ``tokens`` to ``memory``.

        Args:
            tokens: ``(B, N, dim)``.
            memory: ``(B, K, dim)``.
            rotation, memory_rotation: sines and cosines that turn the queries and the keys, see
                :func:`dense3d.layers.rotary.rotate`.
        """
        query, key, value = self.projq(tokens), self.projk(memory), self.projv(memory)
        query, key, value = (
            x.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x in (query, key, value)
        )  # (B, M, N or K, d)
        if rotation is not None:
            query = rotate(query, rotation)
        if memory_rotation is not None:
            key = rotate(key, memory_rotation)
        attended = biased_attention(query, key, value, None)  # (B, M, N, d)
        return self.proj(attended.transpose(1, 2).flatten(2))


class CrossAttentionBlock(nn.Module):
    """Pre-norm decoder block: self-attention, attention to a memory, feed-forward network.

    ``x += attn(norm1(x))``; ``x += cross_attn(norm2(x), norm_y(memory))``; ``x += mlp(norm3(x))``. The memory
    itself is not changed: every block of a decoder sees the same one through its own norm. Weinzaepfel et
    al., "CroCo", NeurIPS 2022.

    Args:
        dim: channels of a token.
        num_heads: heads of both attentions.
        mlp_ratio: width of the feed-forward network in multiples of ``dim``.
        norm_memory: whether the block norms the memory; without, ``norm_y`` is the identity.
        norm_eps: epsilon of the norms.

    Shape:
        tokens ``(B, N, dim)`` and memory ``(B, K, dim)`` to ``(B, N, dim)``.

    Example:
        >>> import torch
        >>> CrossAttentionBlock(8, 2)(torch.zeros(2, 5, 8), torch.zeros(2, 7, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        norm_memory: bool = True,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = SelfAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.norm_y = nn.LayerNorm(dim, eps=norm_eps) if norm_memory else nn.Identity()
        self.cross_attn = CrossAttention(dim, num_heads)
        self.norm3 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))

    def forward(
        self,
        tokens: Tensor,
        memory: Tensor,
        rotation: Rotation | None = None,
        memory_rotation: Rotation | None = None,
    ) -> Tensor:
        """Tokens ``(B, N, dim)`` after the block; the rotations are as in :class:`CrossAttention`."""
        tokens = tokens + self.attn(self.norm1(tokens), rotation=rotation)
        memory = self.norm_y(memory)
        tokens = tokens + self.cross_attn(self.norm2(tokens), memory, rotation, memory_rotation)
        return tokens + self.mlp(self.norm3(tokens))
