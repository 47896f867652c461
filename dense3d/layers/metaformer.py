"""The MetaFormer block, a mixer of tokens and an MLP on a map, with the mixers that its papers compare.

Yu et al., "MetaFormer Is Actually What You Need for Vision", CVPR 2022 (arXiv:2111.11418), and "MetaFormer
Baselines for Vision", TPAMI 2024 (arXiv:2210.13452). Pooling and separable convolution are timm's.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.attention import SelfAttention
from dense3d.layers.patch_embed import Grid, map_to_tokens, tokens_to_map
from dense3d.layers.transformer_block import DropPath
from dense3d.optional import require

MIXERS = ("pool", "conv", "attention", "identity", "random")
HEAD_DIM = 32


class MetaFormerBlock(nn.Module):
    """``s1 x + l1 mixer(norm1(x))``, then ``s2 x + l2 mlp(norm2(x))``, on maps.

    Args:
        dim: channels.
        mixer: mixes tokens, ``(B, dim, h, w)`` to the same.
        mlp: works on every pixel, ``(B, dim, h, w)`` to the same.
        norms: the two norms of maps.
        layer_scale: initial factor l of the branches, one a channel; None for none.
        res_scale: initial factor s of the stream, one a channel; None for none.
        drop_path: probability that a sample skips a branch while training.

    Shape:
        ``(B, dim, h, w)`` to the same.

    Example:
        >>> block = MetaFormerBlock(8, mixer("pool", 8), nn.Identity(), (nn.GroupNorm(1, 8), nn.Identity()))
        >>> block(torch.zeros(2, 8, 5, 4)).shape
        torch.Size([2, 8, 5, 4])
    """

    def __init__(
        self,
        dim: int,
        mixer: nn.Module,
        mlp: nn.Module,
        norms: tuple[nn.Module, nn.Module],
        layer_scale: float | None = None,
        res_scale: float | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = norms
        self.token_mixer, self.mlp = mixer, mlp
        self.layer_scale1, self.layer_scale2 = _scale(dim, layer_scale), _scale(dim, layer_scale)
        self.res_scale1, self.res_scale2 = _scale(dim, res_scale), _scale(dim, res_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, dim, h, w)`` to the same."""
        x = self.res_scale1(x) + self.drop_path(self.layer_scale1(self.token_mixer(self.norm1(x))))
        return self.res_scale2(x) + self.drop_path(self.layer_scale2(self.mlp(self.norm2(x))))


def _scale(dim: int, init: float | None) -> nn.Module:
    if init is None:
        return nn.Identity()
    return require("timm.models.metaformer", "MetaFormerBlock").Scale(dim, init)


class MapAttention(SelfAttention):
    """Self-attention of all pixels of a map, ``(B, dim, h, w)`` to the same."""

    def forward(self, x: Tensor) -> Tensor:
        """The attended map."""
        grid = (x.shape[2], x.shape[3])
        return tokens_to_map(super().forward(map_to_tokens(x)), grid)


class RandomMixing(nn.Module):
    """Every token becomes a fixed random mean of all, the same in all images.

    The matrix is not trained. It belongs to one grid; on another it is resized bilinearly, by the places of
    the tokens that give and of those that receive, and its rows brought back to a sum of 1. The official code
    knows its own grid only.

    Args:
        grid: rows and columns of the tokens.

    Shape:
        ``(B, C, h, w)`` to the same.

    Example:
        >>> mixing = RandomMixing((2, 2))
        >>> mixing(torch.ones(1, 3, 3, 5)).sum().round()
        tensor(45.)
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid, count = grid, math.prod(grid)
        self.register_buffer("random_matrix", torch.rand(count, count).softmax(-1))

    def forward(self, x: Tensor) -> Tensor:
        """The mixed map."""
        matrix = self.matrix((x.shape[2], x.shape[3]))
        return torch.einsum("mn,bcn->bcm", matrix.to(x.dtype), x.flatten(2)).unflatten(2, x.shape[2:])

    def matrix(self, grid: Grid) -> Tensor:
        """``(h w, h w)``, rows receive."""
        matrix = self.random_matrix
        if grid == self.grid:
            return matrix
        for _ in range(2):  # the places that give, then those that receive
            matrix = matrix.unflatten(1, self.grid)[:, None]
            matrix = F.interpolate(matrix, size=grid, mode="bilinear", align_corners=False).flatten(1).t()
        return matrix / matrix.sum(1, keepdim=True)


def mixer(name: str, dim: int, pool_size: int = 3, grid: Grid = (14, 14)) -> nn.Module:
    """A mixer of tokens by its name.

    Args:
        name: ``"pool"``, the mean of neighbours less the token itself; ``"conv"``, a separable convolution;
            ``"attention"``, with heads of 32 channels; ``"identity"``; or ``"random"``.
        dim: channels.
        pool_size: side of the neighbourhood, odd.
        grid: of the tokens that random mixing is made for.

    Raises:
        ConfigError: another name, or channels that heads of 32 do not divide.

    Example:
        >>> mixer("pool", 4)(torch.ones(1, 4, 3, 3)).abs().max()
        tensor(0.)
    """
    if name not in MIXERS:
        raise ConfigError(f"no mixer {name!r}{did_you_mean(name, MIXERS)} (known: {', '.join(MIXERS)})")
    if name == "identity":
        return nn.Identity()
    if name == "random":
        return RandomMixing(grid)
    if name == "attention":
        if dim % HEAD_DIM:
            raise ConfigError(f"attention mixes with heads of {HEAD_DIM} channels, which do not divide {dim}")
        return MapAttention(dim, dim // HEAD_DIM, qkv_bias="none", proj_bias=False)
    metaformer = require("timm.models.metaformer", "MetaFormerBlock")
    return metaformer.Pooling(pool_size) if name == "pool" else metaformer.SepConv(dim)
