"""T2T-ViT: tokens that merge by overlapping windows with a small transformer between, then a narrow ViT.

Yuan et al., "Tokens-to-Token ViT: Training Vision Transformers from Scratch on ImageNet", ICCV 2021, arXiv
2101.11986 (yitu-opensource/T2T-ViT). Official checkpoints: ``dense3d convert t2t-vit``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.plain import (
    PlainBackbone,
    TableArchitecture,
    drop_path_rates,
    initialise_linears,
    read_architecture,
)
from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention
from dense3d.layers.mlp import FeedForward
from dense3d.layers.patch_embed import Grid, resize_position_table, tokens_to_map
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS

WINDOWS = ((7, 4, 2), (3, 2, 1), (3, 2, 1))  # side, stride and padding of the three unfoldings
TOKEN_LAYERS = ("performer", "transformer")


@dataclass(frozen=True)
class T2TArchitecture(TableArchitecture):
    """What decides the weights of a T2T-ViT, beside what all plain architectures have.

    ``patch_size`` is 16: the product of the strides.

    Attributes:
        token_layer: ``"performer"`` (linear in the number of tokens) or ``"transformer"`` (quadratic).
        token_dim: channels of the tokens between the unfoldings.
    """

    qkv_bias: bool = False
    norm_eps: float = 1e-5
    token_layer: str = "performer"
    token_dim: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token_layer not in TOKEN_LAYERS:
            raise ConfigError(f"token_layer={self.token_layer!r} of a T2T-ViT: use one of {TOKEN_LAYERS}")
        if self.patch_size != 16:
            raise ConfigError(f"patch_size={self.patch_size}: the unfoldings of a T2T-ViT make 16")


_NARROW = dict(embed_dim=256, num_heads=4, mlp_ratio=2.0)
_14 = dict(embed_dim=384, depth=14, num_heads=6, mlp_ratio=3.0)
_19 = dict(embed_dim=448, depth=19, num_heads=7, mlp_ratio=3.0)
_24 = dict(embed_dim=512, depth=24, num_heads=8, mlp_ratio=3.0)
_TRANSFORMER = dict(token_layer="transformer")
# Names are the official ones without "t2t_vit_".
ARCHITECTURES: dict[str, dict] = {
    "7": dict(_NARROW, depth=7),
    "10": dict(_NARROW, depth=10),
    "12": dict(_NARROW, depth=12),
    "14": _14,
    "19": _19,
    "24": _24,
    "t_14": {**_14, **_TRANSFORMER},
    "t_19": {**_19, **_TRANSFORMER},
    "t_24": {**_24, **_TRANSFORMER},
    "14_resnext": dict(_14, num_heads=32),
    "14_wide": dict(embed_dim=768, depth=4, num_heads=12, mlp_ratio=3.0),
}


class TokenPerformer(nn.Module):
    """Token layer with linear attention by positive random features; its skip connection is the values.

    Choromanski et al., "Rethinking Attention with Performers", ICLR 2021. It computes in float32 whatever
    the autocast: the exponentials of the features leave the range of half precision. In training, the two
    projections drop a tenth of their outputs, as the official code does.

    Args:
        dim: input channels.
        out_dim: output channels, e.
        kernel_ratio: random features in multiples of e.
        dropout: share of the outputs of both projections that is dropped in training.

    Shape:
        ``(B, N, dim)`` to ``(B, N, out_dim)``.

    Example:
        >>> TokenPerformer(147, 64)(torch.zeros(1, 5, 147)).shape
        torch.Size([1, 5, 64])
    """

    def __init__(self, dim: int, out_dim: int, kernel_ratio: float = 0.5, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout, self.out_dim = dropout, out_dim
        features = int(out_dim * kernel_ratio)
        self.norm1 = nn.LayerNorm(dim)
        self.kqv = nn.Linear(dim, 3 * out_dim)
        random = nn.init.orthogonal_(torch.empty(features, out_dim)) * math.sqrt(features)
        self.w = nn.Parameter(random, requires_grad=False)
        self.proj = nn.Linear(out_dim, out_dim)
        self.norm2 = nn.LayerNorm(out_dim)
        self.mlp = nn.Sequential(nn.Linear(out_dim, out_dim), nn.GELU(), nn.Linear(out_dim, out_dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """The tokens of the next step."""
        with nullcontext() if tokens.is_meta else torch.autocast(tokens.device.type, enabled=False):
            key, query, value = self.kqv(self.norm1(tokens.float())).chunk(3, dim=2)  # (B, N, e) each
            key, query = self._features(key), self._features(query)  # (B, N, m)
            total = query @ key.sum(1, keepdim=True).transpose(1, 2)  # (B, N, 1)
            attended = query @ (key.transpose(1, 2) @ value) / (total + 1e-8)
            value = value + F.dropout(self.proj(attended), self.dropout, self.training)
            return value + F.dropout(self.mlp(self.norm2(value)), self.dropout, self.training)

    def _features(self, x: Tensor) -> Tensor:
        """``exp(w x - |x| ** 2 / 2) / sqrt(m)``, ``(B, N, m)``."""
        exponent = x @ self.w.t() - x.square().sum(2, keepdim=True) / 2
        return exponent.exp() / math.sqrt(len(self.w))


class TokenAttention(SelfAttention):
    """Attention from a wide input to few channels; the values are added to what it gives."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__(out_dim, 1, "none", qk_scale=dim**-0.5)
        self.qkv = nn.Linear(dim, 3 * out_dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(B, N, dim)`` to ``(B, N, out_dim)``."""
        query, key, value = self.qkv(tokens).chunk(3, dim=2)
        attended = F.scaled_dot_product_attention(query, key, value, scale=self.qk_scale)
        return value + self.proj(attended)


class TokenTransformer(nn.Module):
    """Token layer with one head of plain attention, whose scale is that of the input channels.

    Args:
        dim: input channels.
        out_dim: output channels.

    Shape:
        ``(B, N, dim)`` to ``(B, N, out_dim)``.

    Example:
        >>> TokenTransformer(147, 64)(torch.zeros(1, 5, 147)).shape
        torch.Size([1, 5, 64])
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = TokenAttention(dim, out_dim)
        self.norm2 = nn.LayerNorm(out_dim)
        self.mlp = FeedForward(out_dim, out_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """The tokens of the next step."""
        tokens = self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class TokensToToken(nn.Module):
    """Image to tokens of stride 16: unfold, token layer, unfold, token layer, unfold, projection.

    Args:
        arch: the architecture.

    Shape:
        ``(B, in_channels, H, W)`` to ``(B, h * w, D)`` and the grid ``(h, w)``, H / 16 rows where H is a
        multiple of 16.

    Example:
        >>> arch = T2TArchitecture(embed_dim=8, depth=1, num_heads=1)
        >>> tokens, grid = TokensToToken(arch)(torch.zeros(1, 3, 32, 48))
        >>> tokens.shape, grid
        (torch.Size([1, 6, 8]), (2, 3))
    """

    def __init__(self, arch: T2TArchitecture) -> None:
        super().__init__()
        layer = TokenPerformer if arch.token_layer == "performer" else TokenTransformer
        wide, token = arch.in_channels * WINDOWS[0][0] ** 2, arch.token_dim
        self.attention1 = layer(wide, token)
        self.attention2 = layer(token * WINDOWS[1][0] ** 2, token)
        self.project = nn.Linear(token * WINDOWS[2][0] ** 2, arch.embed_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Tokens and their grid."""
        x = images
        for window, layer in zip(WINDOWS, (self.attention1, self.attention2, self.project)):
            tokens, grid = unfold(x, *window)
            tokens = layer(tokens)
            x = tokens_to_map(tokens, grid)
        return tokens, grid


def unfold(x: Tensor, side: int, stride: int, padding: int) -> tuple[Tensor, Grid]:
    """Overlapping windows of a map ``(B, C, H, W)`` as tokens ``(B, h * w, C * side ** 2)``, and their grid.

    Example:
        >>> tokens, grid = unfold(torch.zeros(1, 2, 8, 12), 3, 2, 1)
        >>> tokens.shape, grid
        (torch.Size([1, 24, 18]), (4, 6))
    """
    grid = tuple((n + 2 * padding - side) // stride + 1 for n in x.shape[2:])
    return F.unfold(x, side, stride=stride, padding=padding).transpose(1, 2), grid


def sinusoid_table(positions: int, dim: int) -> Tensor:
    """Sines at even and cosines at odd channels of the flat position, ``(1, positions, dim)``.

    Vaswani et al., "Attention Is All You Need", 2017, section 3.5.

    Example:
        >>> sinusoid_table(2, 2)[0, 1].tolist()
        [0.8414709568023682, 0.5403022766113281]
    """
    channel = torch.arange(dim, dtype=torch.float64)
    frequency = 10000.0 ** (-2 * (channel // 2) / dim)
    angle = torch.arange(positions, dtype=torch.float64)[:, None] * frequency
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()[None]


@MODELS.register_module()
class T2TViT(PlainBackbone):
    """T2T-ViT as a dense backbone: one map of stride 16, or several; pyramids come from adapters.

    Args:
        arch: a name without ``t2t_vit_``, such as ``"14"`` or ``"t_14"``, or a dict with ``name`` and what
            differs from it, or all attributes of :class:`T2TArchitecture`.
        out_indices: blocks whose tokens become maps, ascending; -1 is the last. Blocks after them do not run.
        final_norm: whether maps go through the final norm.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0 (official: 0.1).
        frozen_stages: -1 freezes nothing, 0 the tokens-to-token module, k also the first k blocks, ``depth``
            all.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads official weights
            or ours.

    Shape:
        images ``(B, in_channels, H, W)``, normalised RGB, H, W >= 16 -> tuple of ``(B, D, ceil(H / 16),
        ceil(W / 16))``. The fixed table of positions is the official one, over the flat index of the grid of
        pre-training; other grids get it resized (bicubic), as the official code does for fine-tuning.

    Raises:
        ConfigError: an argument does not fit the architecture.
        DataError: an image is smaller than a patch, or has another number of channels.

    Example:
        >>> vit = T2TViT(dict(name="7", depth=2), out_indices=(0, 1))
        >>> [tuple(f.shape) for f in vit(torch.zeros(1, 3, 45, 60))]
        [(1, 256, 3, 4), (1, 256, 3, 4)]
    """

    converters = ("t2t-vit",)
    embedding = ("tokens_to_token", "cls_token", "pos_embed")
    tiny_variants: ClassVar[dict[str, dict]] = {
        name: dict(
            arch=dict(
                embed_dim=32,
                depth=4,
                num_heads=2,
                pretrain_size=64,
                token_dim=8,
                token_layer=name,
            ),
            out_indices=(0, 1, 2, 3),
        )
        for name in ("performer", "transformer")
    }

    def __init__(
        self,
        arch: str | dict | T2TArchitecture,
        out_indices: Sequence[int] = (-1,),
        final_norm: bool = True,
        drop_path_rate: float | Sequence[float] = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        arch = read_architecture(T2TArchitecture, ARCHITECTURES, arch, "T2T-ViT")
        super().__init__(arch, out_indices, frozen_stages, with_cp, init_cfg)
        dim = arch.embed_dim
        self.tokens_to_token = TokensToToken(arch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        table = sinusoid_table(1 + math.prod(arch.table_grid), dim)
        self.pos_embed = nn.Parameter(table, requires_grad=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                dim,
                arch.num_heads,
                arch.mlp_ratio,
                drop_path=rate,
                norm_eps=arch.norm_eps,
                attn=SelfAttention(
                    dim, arch.num_heads, "full" if arch.qkv_bias else "none", qk_scale=arch.qk_scale
                ),
            )
            for rate in drop_path_rates(drop_path_rate, arch.depth)
        )
        self.norm = nn.LayerNorm(dim, eps=arch.norm_eps) if final_norm else None
        initialise_linears(self)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.freeze()

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Class token and patches ``(B, 1 + h * w, D)``, and the grid ``(h, w)``."""
        tokens, grid = self.tokens_to_token(images)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return tokens + self.position_table(grid), grid

    def position_table(self, grid: Grid) -> Tensor:
        """What is added to class token (zeros, but for a table) and patches, ``(1, 1 + h * w, D)``."""
        table = super().position_table(grid)
        return F.pad(table, (0, 0, 1 + math.prod(grid) - table.shape[1], 0))

    def resized_table(self, grid: Grid) -> Tensor:
        """The table ``(1, 1 + h * w, D)`` of another grid: the class token's entry stays."""
        return resized_table(self.pos_embed, self.arch.table_grid, grid)


def resized_table(table: Tensor, source: Grid, target: Grid) -> Tensor:
    """A table with an entry of the class token, ``(1, 1 + h * w, D)``, for another grid (bicubic)."""
    return torch.cat([table[:, :1], resize_position_table(table[:, 1:], source, target)], dim=1)
