"""Attention among voxels that are near each other along a space-filling curve."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.ops import band_attention
from dense3d.pointcloud.sparse.levels import SparseLevel


class CurveAttention(nn.Module):
    """Multi-head attention in which a voxel sees those of its scene at most ``window // 2`` places away.

    The band slides with the query; places are counted along a curve. There are no positions beside that.

    Args:
        dim: channels.
        num_heads: heads; divides ``dim``.
        window: a negative one is the whole scene.
        bias: of both linear layers.
        dropout: of the attention's weights, while training.

    Shape:
        ``(V, dim)`` on a level to the same.

    Raises:
        ConfigError: ``dim`` is no multiple of ``num_heads``.

    Example:
        >>> level = SparseLevel(torch.tensor([[0, 0, 0], [0, 0, 1], [7, 7, 7]]))
        >>> CurveAttention(8, 2, window=2)(torch.zeros(3, 8), level, "xyz_hilbert").shape
        torch.Size([3, 8])
    """

    def __init__(
        self, dim: int, num_heads: int, window: int = 1024, bias: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels are not divided by {num_heads} heads of an attention")
        self.num_heads, self.window, self.dropout = num_heads, window, dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim, bias=bias)

    def forward(self, features: Tensor, level: SparseLevel, curve: str) -> Tensor:
        """Features ``(V, dim)`` of a level, along a curve of :meth:`SparseLevel.order`."""
        qkv = self.qkv(features[level.order(curve)]).unflatten(1, (3, self.num_heads, -1))
        query, key, value = qkv.permute(1, 2, 0, 3)  # (heads, V, dim / heads) each
        dropout = self.dropout if self.training else 0.0
        scale = query.shape[-1] ** -0.5
        parts = []
        for start, end in pairwise([0, *level.scene_ends]):
            if start < end:  # a scene may be empty
                reach = self.window // 2 + 1 if self.window >= 0 else end - start
                scene = (x[:, start:end] for x in (query, key, value))
                parts.append(band_attention(*scene, reach=reach, scale=scale, dropout=dropout))
        attended = torch.cat(parts, dim=1) if parts else value
        return self.proj(attended.transpose(0, 1).flatten(1))[level.places(curve)]

    def extra_repr(self) -> str:
        return f"num_heads={self.num_heads}, window={self.window}, dropout={self.dropout:g}"
