"""Class attention: one token looks at all others behind the blocks of a network, and classifies."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.attention import biased_attention
from dense3d.layers.mlp import FeedForward
from dense3d.layers.patch_embed import map_to_tokens


class ClassAttention(nn.Module):
    """Attention of the first token to all tokens.

    Touvron et al., "Going deeper with Image Transformers", ICCV 2021, eq. 7.

    Args:
        dim: channels of a token.
        num_heads: heads, a divisor of ``dim``.

    Shape:
        ``(B, 1 + N, dim)`` to ``(B, 1, dim)``.

    Raises:
        ConfigError: ``dim`` is no multiple of ``num_heads``.

    Example:
        >>> ClassAttention(8, 2)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 1, 8])
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """What the first token gathers."""
        query = self.q(tokens[:, :1]).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, M, 1, d)
        key, value = self.kv(tokens).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(biased_attention(query, key, value, None).transpose(1, 2).flatten(2))


class ClassAttentionBlock(nn.Module):
    """Pre-norm block that changes the first token alone: class attention, then a feed-forward network.

    Args:
        dim, num_heads: see :class:`ClassAttention`.
        mlp_ratio: width of the feed-forward network in multiples of ``dim``.
        norm_eps: epsilon of the norms.

    Shape:
        ``(B, 1 + N, dim)`` to the same.

    Example:
        >>> tokens = torch.randn(3, 5, 8)
        >>> torch.equal(ClassAttentionBlock(8, 2)(tokens)[:, 1:], tokens[:, 1:])
        True
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4.0, norm_eps: float = 1e-6) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = ClassAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """The tokens with another first one."""
        first = tokens[:, :1] + self.attn(self.norm1(tokens))
        first = first + self.mlp(self.norm2(first))
        return torch.cat([first, tokens[:, 1:]], dim=1)


class ClassAttentionHead(nn.Module):
    """Classifier of a map: class attention from the mean of its pixels, norm, and linear layers.

    The tail of VOLO (Yuan et al., TPAMI 2022) and of networks after it. With token labelling (Jiang et al.,
    NeurIPS 2021) half of each class's best score of a pixel is added.

    Args:
        dim: channels of the map.
        num_classes: number of classes.
        num_heads, mlp_ratio, norm_eps: see :class:`ClassAttentionBlock`.
        token_labels: whether pixels are scored too.

    Shape:
        ``(B, dim, h, w)`` to ``(B, num_classes)``.

    Example:
        >>> ClassAttentionHead(8, 10, num_heads=2)(torch.zeros(3, 8, 2, 2)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        norm_eps: float = 1e-6,
        token_labels: bool = True,
    ) -> None:
        super().__init__()
        self.block = ClassAttentionBlock(dim, num_heads, mlp_ratio, norm_eps)
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.head = nn.Linear(dim, num_classes)
        self.aux_head = nn.Linear(dim, num_classes) if token_labels else None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        tokens = self.norm(self.attend(map_to_tokens(x)))  # (B, 1 + h * w, dim)
        scores = self.head(tokens[:, 0])
        if self.aux_head is None:
            return scores
        return scores + 0.5 * self.aux_head(tokens[:, 1:]).amax(dim=1)

    def attend(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, N, dim)`` behind their mean, which has looked at all: ``(B, 1 + N, dim)``."""
        return self.block(torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1))
