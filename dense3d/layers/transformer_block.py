"""Pre-norm transformer block, with what its residual branches may have: layer scale and stochastic depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention
from dense3d.layers.mlp import FeedForward


class TransformerBlock(nn.Module):
    """``x + ls1(attn(norm1(x)))``, then ``x + ls2(mlp(norm2(x)))``, both branches with stochastic depth.

    Args:
        dim: channels of a token.
        num_heads: heads of the attention.
        mlp_ratio: width of the feed-forward network in multiples of ``dim``.
        qkv_bias: see :class:`dense3d.layers.attention.SelfAttention`.
        layer_scale: initial factor of both branches; None for branches without one.
        drop_path: probability that a sample skips a branch while training.
        norm_eps: epsilon of the norms.
        norm: ``"layer"`` or ``"rms"``, see :func:`token_norm`.
        attn: attention module instead of plain self-attention.
        mlp: feed-forward module instead of a GELU network.

    Shape:
        ``(B, N, dim)`` to the same.

    Example:
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
        norm: str = "layer",
        attn: nn.Module | None = None,
        mlp: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = token_norm(norm, dim, norm_eps)
        self.attn = attn if attn is not None else SelfAttention(dim, num_heads, qkv_bias)
        self.ls1 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.norm2 = token_norm(norm, dim, norm_eps)
        self.mlp = mlp if mlp is not None else FeedForward(dim, int(dim * mlp_ratio))
        self.ls2 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, *attention_args) -> Tensor:
        """Tokens ``(B, N, dim)``; what follows goes to the attention (grid, prefix tokens, rotation)."""
        tokens = tokens + self.drop_path(self.ls1(self.attn(self.norm1(tokens), *attention_args)))
        return tokens + self.drop_path(self.ls2(self.mlp(self.norm2(tokens))))


def token_norm(kind: str, dim: int, eps: float) -> nn.Module:
    """The norm of a transformer's tokens.

    Args:
        kind: ``"layer"``, mean and variance over the channels; ``"rms"``, without mean and bias (Zhang and
            Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019).
        dim: channels of a token.
        eps: added to the variance or the mean square.

    Raises:
        ConfigError: ``kind`` is neither.

    Example:
        >>> token_norm("rms", 2, 0.0)(torch.tensor([[3.0, -3.0]])).tolist()
        [[1.0, -1.0]]
    """
    if kind not in ("layer", "rms"):
        raise ConfigError(f"norm={kind!r} of a transformer: use 'layer' or 'rms'")
    return nn.LayerNorm(dim, eps=eps) if kind == "layer" else nn.RMSNorm(dim, eps=eps)


class LayerScale(nn.Module):
    """Multiplies every channel by its own ``gamma``.

    Touvron et al., "Going deeper with Image Transformers", ICCV 2021, eq. 4.

    Args:
        dim: channels.
        init: value that every ``gamma`` starts from.

    Shape:
        ``(..., dim)`` to the same.

    Example:
        >>> LayerScale(2, 0.5)(torch.ones(1, 2)).tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, dim: int, init: float = 1e-5) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), float(init)))

    def forward(self, x: Tensor) -> Tensor:
        """``x * gamma``."""
        return x * self.gamma


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
