"""Attention whose queries and keys are a number or a few a head, and whose keys are those of a reduced map.

After Xu et al., "S2AFormer: Strip Self-Attention for Efficient Vision Transformer" (arXiv:2505.22195). No
code is public; the widths and layers here are decisions of ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError


class StripAttention(nn.Module):
    """Reduced attention with compressed queries and keys; values keep the width of the map.

    With N tokens, reduction s and ``affinity_dim`` p, the products of queries and keys take
    N * N / s^2 * M * p multiplications instead of the N * N / s^2 * C of the reduced attention of PVT, which
    p = C / M gives. The products of each head have a learned factor, ``p ** -0.5`` at first.

    Args:
        dim: channels C.
        num_heads: M, a divisor of ``dim``.
        reduction: s, tokens on a side of a cell of the reduced map: a depthwise convolution of stride s, a
            linear layer and a layer norm; 1 for no reduction.
        affinity_dim: p, channels of a query or key of a head.

    Shape:
        map ``(B, h, w, dim)`` to the same.

    Raises:
        ConfigError: ``dim`` is no multiple of ``num_heads``, or a size is less than 1.

    Example:
        >>> StripAttention(8, 2, reduction=2)(torch.zeros(2, 5, 4, 8)).shape
        torch.Size([2, 5, 4, 8])
    """

    def __init__(self, dim: int, num_heads: int, reduction: int = 1, affinity_dim: int = 1) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        for name, value in dict(reduction=reduction, affinity_dim=affinity_dim).items():
            if value < 1:
                raise ConfigError(f"{name}={value} of strip attention: give 1 or more")
        self.num_heads = num_heads
        self.q = nn.Linear(dim, num_heads * affinity_dim)
        self.k = nn.Linear(dim, num_heads * affinity_dim)
        self.v = nn.Linear(dim, dim)
        self.scale = nn.Parameter(torch.full((num_heads, 1, 1), affinity_dim**-0.5))
        self.reduction = MapReduction(dim, reduction) if reduction > 1 else nn.Identity()
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attention of a map with its reduced form."""
        query = self._heads(self.q(x)) * self.scale  # (B, M, N, p)
        reduced = self.reduction(x)
        key, value = self._heads(self.k(reduced)), self._heads(self.v(reduced))
        query = query.to(key.dtype)
        if x.device.type == "cpu" and key.shape[-1] != value.shape[-1]:  # the fused kernel wants equal widths
            attended = (query @ key.transpose(2, 3)).softmax(-1).to(value.dtype) @ value
        else:
            attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return self.proj(attended.transpose(1, 2).flatten(2).unflatten(1, x.shape[1:3]))

    def _heads(self, x: Tensor) -> Tensor:
        """``(B, h, w, M * c)`` to ``(B, M, h * w, c)``."""
        return x.flatten(1, 2).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class MapReduction(nn.Module):
    """Cells of a map to one token each, by a depthwise convolution, a linear layer and a layer norm.

    Args:
        dim: channels.
        factor: tokens on a side of a cell; cells at the border are filled with zeros.

    Shape:
        ``(B, h, w, dim)`` to ``(B, ceil(h / factor), ceil(w / factor), dim)``.
    """

    def __init__(self, dim: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(dim, dim, factor, factor, groups=dim)
        self.linear = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """The reduced map."""
        x = F.pad(x, (0, 0, 0, -x.shape[2] % self.factor, 0, -x.shape[1] % self.factor))
        return self.norm(self.linear(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)))
