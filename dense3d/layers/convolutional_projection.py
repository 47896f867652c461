"""Self-attention whose queries, keys and values start with a convolution on the map of tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid, map_to_tokens, tokens_to_map

PROJECTIONS = ("conv", "avg", "linear")


class DepthwiseProjection(nn.Module):
    """A depthwise convolution and a batch norm.

    Shape:
        ``(B, dim, h, w)`` to ``(B, dim, h', w')``.
    """

    def __init__(self, dim: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel, stride, padding, groups=dim, bias=False)
        self.bn = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """The normed map."""
        return self.bn(self.conv(x))


class ConvolutionalAttention(nn.Module):
    """Attention of tokens on a grid, keys and values on a coarser one.

    Wu et al., "CvT: Introducing Convolutions to Vision Transformers", ICCV 2021, section 3.2. The logits are
    scaled by ``dim ** -0.5``, the width of all heads together, as in the official code. Prefix tokens pass
    the convolutions by.

    Args:
        dim: channels of a token.
        num_heads: heads, a divisor of ``dim``.
        qkv_bias: whether the linear layers behind the convolutions have biases.
        projection: ``"conv"``, a depthwise convolution each for queries, keys and values; ``"avg"``, keys and
            values of averages, queries as they are; ``"linear"``, all as they are.
        kernel: side of the convolutions or averages.
        query, key: stride and padding of queries, and of keys and values.

    Shape:
        ``(B, P + h * w, dim)`` to the same.

    Raises:
        ConfigError: unknown projection, heads that do not divide ``dim``, or convolved queries on another
            grid than the tokens.

    Example:
        >>> ConvolutionalAttention(8, 2)(torch.zeros(2, 1 + 20, 8), (4, 5), num_prefix=1).shape
        torch.Size([2, 21, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = True,
        projection: str = "conv",
        kernel: int = 3,
        query: tuple[int, int] = (1, 1),
        key: tuple[int, int] = (2, 1),
    ) -> None:
        super().__init__()
        if projection not in PROJECTIONS:
            raise ConfigError(
                f"projection={projection!r} of an attention: use one of {', '.join(PROJECTIONS)}"
            )
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        if projection == "conv" and (query[0] != 1 or 2 * query[1] != kernel - 1):
            raise ConfigError(
                f"queries of a kernel of {kernel}, stride {query[0]} and padding {query[1]} are not one a "
                f"token: use an odd kernel, stride 1 and padding {kernel // 2}"
            )
        self.num_heads, self.scale = num_heads, dim**-0.5
        if projection == "conv":
            self.conv_proj_q = DepthwiseProjection(dim, kernel, *query)
            self.conv_proj_k = DepthwiseProjection(dim, kernel, *key)
            self.conv_proj_v = DepthwiseProjection(dim, kernel, *key)
        else:
            self.conv_proj_q = nn.Identity()
            pool = nn.AvgPool2d(kernel, *key, ceil_mode=True) if projection == "avg" else nn.Identity()
            self.conv_proj_k = self.conv_proj_v = pool
        self.proj_q = nn.Linear(dim, dim, bias=qkv_bias)
        self.proj_k = nn.Linear(dim, dim, bias=qkv_bias)
        self.proj_v = nn.Linear(dim, dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, grid: Grid, num_prefix: int = 0) -> Tensor:
        """Attention of ``tokens`` on ``grid``, the first ``num_prefix`` of which lie on none."""
        prefix, features = tokens[:, :num_prefix], tokens_to_map(tokens[:, num_prefix:], grid)
        query, key, value = (
            linear(torch.cat([prefix, map_to_tokens(convolution(features))], dim=1))
            .unflatten(2, (self.num_heads, -1))
            .transpose(1, 2)  # (B, heads, N, d)
            for convolution, linear in (
                (self.conv_proj_q, self.proj_q),
                (self.conv_proj_k, self.proj_k),
                (self.conv_proj_v, self.proj_v),
            )
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.proj(attended.transpose(1, 2).flatten(2))
