"""Pre-norm transformer block."""

from __future__ import annotations

from torch import Tensor, nn

from dense3d.layers.attention import SelfAttention
from dense3d.layers.drop_path import DropPath
from dense3d.layers.layer_scale import LayerScale
from dense3d.layers.mlp import Mlp


class TransformerBlock(nn.Module):
    """``x + ls1(attn(norm1(x)))``, then ``x + ls2(mlp(norm2(x)))``, both branches with stochastic depth.

    Args:
        dim: channels of a token.
        num_heads: heads of the attention.
        mlp_ratio: width of the feed-forward network in multiples of ``dim``.
        qkv_bias: see :class:`dense3d.layers.attention.SelfAttention`.
        layer_scale: initial factor of both branches; None for branches without one.
        drop_path: probability that a sample skips a branch while training.
        norm_eps: epsilon of the layer norms.
        attn: attention module instead of plain self-attention.
        mlp: feed-forward module instead of a GELU network.

    Shape:
        ``(B, N, dim)`` to the same.

    Example:
        >>> import torch
        >>> TransformerBlock(8, 2, layer_scale=1e-5)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: str = "full",
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        norm_eps: float = 1e-6,
        attn: nn.Module | None = None,
        mlp: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = attn if attn is not None else SelfAttention(dim, num_heads, qkv_bias)
        self.ls1 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = mlp if mlp is not None else Mlp(dim, int(dim * mlp_ratio))
        self.ls2 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, *attention_args) -> Tensor:
        """Tokens ``(B, N, dim)``; what follows goes to the attention (grid, prefix tokens, rotation)."""
        tokens = tokens + self.drop_path(self.ls1(self.attn(self.norm1(tokens), *attention_args)))
        return tokens + self.drop_path(self.ls2(self.mlp(self.norm2(tokens))))
