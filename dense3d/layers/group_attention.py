"""Attention within groups of tokens of a map that lie side by side, or in equal distances.

Wang et al., "CrossFormer: A Versatile Vision Transformer Hinging on Cross-scale Attention", ICLR 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.layers.attention import biased_attention
from dense3d.layers.dynamic_position import DynamicPositionBias
from dense3d.layers.patch_embed import Grid

MASKED = -1e6  # the official code's value


class GroupAttention(nn.Module):
    """Attention within groups of tokens, with a dynamic position bias.

    Args:
        dim: channels of a token, 16 or more.
        num_heads: M, a divisor of ``dim``.
        qkv_bias: whether the projection to queries, keys and values has a bias.
        qk_scale: factor of the products of queries and keys; ``(dim / M) ** -0.5`` unless given.

    Shape:
        groups ``(B, R, N, dim)`` to the same.

    Example:
        >>> groups = to_groups(torch.zeros(2, 8, 4, 16), side=2, interval=2)
        >>> GroupAttention(16, 2)(groups, side=2).shape
        torch.Size([2, 8, 4, 16])
    """

    def __init__(
        self, dim: int, num_heads: int, qkv_bias: bool = True, qk_scale: float | None = None
    ) -> None:
        super().__init__()
        self.num_heads, self.qk_scale = num_heads, qk_scale
        self.position = DynamicPositionBias(dim // 16, num_heads)
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, groups: Tensor, side: int, padding: Tensor | None = None) -> Tensor:
        """Attention of each group.

        Args:
            groups: ``(B, R, N, C)``, N = ``side`` squared.
            side: rows and columns of a group; of neighbours in a group, however far apart they are.
            padding: ``(R, N)``, true for tokens that are none.
        """
        qkv = self.qkv(groups).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5)  # (B, R, M, N, d)
        bias = self.position((side, side))[None]  # (1, M, N, N)
        if padding is not None:
            lowest = max(MASKED, torch.finfo(query.dtype).min / 2)  # finite: whole groups may be padding
            bias = bias + lowest * padding[:, None, None].to(bias.dtype)  # (R, M, N, N)
        if len(bias) > 1:  # groups with a bias of their own stand beside the heads
            query, key, value = (x.flatten(1, 2) for x in (query, key, value))
            attended = biased_attention(query, key, value, bias.flatten(0, 1)[None], scale=self.qk_scale)
            attended = attended.unflatten(1, (-1, self.num_heads))
        else:
            query, key, value = (x.flatten(0, 1) for x in (query, key, value))
            attended = biased_attention(query, key, value, bias, scale=self.qk_scale)
            attended = attended.unflatten(0, groups.shape[:2])
        return self.proj(attended.transpose(2, 3).flatten(3))


def to_groups(x: Tensor, side: int, interval: int) -> Tensor:
    """Groups of ``side`` x ``side`` tokens whose rows and columns are ``interval`` apart (paper, figure 3).

    Args:
        x: ``(B, h, w, C)``, sides are multiples of ``side * interval``.
        side: tokens on a side of a group.
        interval: distance between neighbours of a group.

    Returns:
        ``(B, h w / side ** 2, side ** 2, C)``

    Example:
        >>> to_groups(torch.arange(4.0).view(1, 1, 4, 1).expand(1, 4, 4, 1), 2, 2)[0, :, :2, 0].tolist()
        [[0.0, 2.0], [1.0, 3.0], [0.0, 2.0], [1.0, 3.0]]
    """
    x = x.unflatten(2, (-1, side, interval)).unflatten(1, (-1, side, interval))  # (B, R, s, i, R, s, i, C)
    return x.permute(0, 1, 4, 3, 6, 2, 5, 7).flatten(5, 6).flatten(1, 4)


def from_groups(groups: Tensor, grid: Grid, side: int, interval: int) -> Tensor:
    """Undo :func:`to_groups`: ``(B, R, side ** 2, C)`` to ``(B, h, w, C)`` with ``grid`` = ``(h, w)``."""
    tiles = [n // (side * interval) for n in grid]
    x = groups.unflatten(2, (side, side)).unflatten(1, (*tiles, interval, interval))
    return x.permute(0, 1, 5, 3, 2, 6, 4, 7).flatten(4, 6).flatten(1, 3)
