"""UniFormer: local aggregation by convolutions in the shallow stages, self-attention in the deep ones.

Li et al., "UniFormer: Unifying Convolution and Self-attention for Visual Recognition", ICLR 2022, TPAMI 2023
(arXiv:2201.09450); official code: Sense-X/UniFormer. The light models, which drop tokens, are not built.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.embedded_stages import EmbeddedStages, Stage
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.attention import SelfAttention, WindowAttention
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.map_head import NormedMapHead
from dense3d.layers.patch_embed import map_to_tokens, tokens_to_map
from dense3d.layers.transformer_block import DropPath, TransformerBlock
from dense3d.registry import MODELS

_WIDTHS = (64, 128, 320, 512)
# Released sizes. Models of token labelling have heads of 32 channels, which their weights do not show:
# take dict(ARCHITECTURES["base"], head_dim=32) for them.
ARCHITECTURES: dict[str, dict] = {
    "small": dict(dims=_WIDTHS, depths=(3, 4, 8, 3)),
    "small_plus": dict(dims=_WIDTHS, depths=(3, 5, 9, 3), head_dim=32, conv_stem=True),
    "small_plus_dim64": dict(dims=_WIDTHS, depths=(3, 5, 9, 3), conv_stem=True),
    "base": dict(dims=_WIDTHS, depths=(5, 8, 20, 7)),
    "base_ls": dict(dims=_WIDTHS, depths=(5, 8, 20, 7), layer_scale=1e-6),
    "large_ls": dict(dims=(128, 192, 448, 640), depths=(5, 10, 24, 7), conv_stem=True, layer_scale=1e-6),
}
ATTENTIONS = ("global", "windows", "hybrid")
_OPTIONAL = ("conv_stem", "layer_scale")


class PatchEmbedding(nn.Module):
    """Patches side by side to channels, and a layer norm of each: a stage's entry."""

    def __init__(self, in_channels: int, dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch_size, patch_size)
        self.norm = ChannelLayerNorm(dim, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` -> ``(B, dim, H / patch_size, W / patch_size)``."""
        return self.norm(self.proj(x))


class ConvEmbedding(nn.Module):
    """A stage's entry by convolutions with a stride of 2 and batch norms: two of them, or one."""

    def __init__(self, in_channels: int, dim: int, patch_size: int) -> None:
        super().__init__()
        widths = [in_channels, dim // 2, dim] if patch_size == 4 else [in_channels, dim]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.GELU()]
        self.proj = nn.Sequential(*layers[:-1])  # no activation at the end

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` -> ``(B, dim, ceil(H / patch_size), ceil(W / patch_size))``."""
        return self.proj(x)


class ConvFeedForward(nn.Module):
    """Feed-forward network of every pixel: 1x1 convolution, GELU, 1x1 convolution."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden_dim, 1)
        self.fc2 = nn.Conv2d(hidden_dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` to the same."""
        return self.fc2(F.gelu(self.fc1(x)))


class ConvBlock(nn.Module):
    """Local block (paper, eq. 1 with the affinity of eq. 3): the aggregation is a depthwise convolution.

    Args:
        dim: channels.
        mlp_ratio: width of the feed-forward network in multiples of ``dim``.
        drop_path: probability that a sample skips a branch while training; never the position encoding.

    Shape:
        ``(B, dim, h, w)`` to the same.
    """

    def __init__(self, dim: int, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv1 = nn.Conv2d(dim, dim, 1)
        self.attn = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.conv2 = nn.Conv2d(dim, dim, 1)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = ConvFeedForward(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, dim, h, w)`` to the same."""
        x = x + self.pos_embed(x)
        x = x + self.drop_path(self.conv2(self.attn(self.conv1(self.norm1(x)))))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class AttentionBlock(TransformerBlock):
    """A transformer block on a map, behind a convolutional position encoding (paper, eq. 2)."""

    def __init__(self, dim: int, attention: nn.Module, **kwargs) -> None:
        super().__init__(dim, attention.num_heads, attn=attention, **kwargs)
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, dim, h, w)`` to the same."""
        x = x + self.pos_embed(x)
        grid = (x.shape[2], x.shape[3])
        return tokens_to_map(super().forward(map_to_tokens(x), grid), grid)


@MODELS.register_module()
class UniFormer(EmbeddedStages):
    """UniFormer, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size (:data:`ARCHITECTURES`), or a dict with ``dims`` and ``depths``, four of each,
            and, where they are not 64 in channels of an attention head, False and None: ``head_dim``,
            ``conv_stem`` (convolutions and batch norms instead of patches) and ``layer_scale`` (of the
            attention blocks).
        attention: of stage 2: ``"global"``; ``"windows"``; or ``"hybrid"``, every fourth block global and the
            others in windows. Weights fit all three; that of stage 3 is global.
        window_size: side of a window in pixels of the map of stage 2; 14 is all of an image of 224.
        mlp_ratio: width of the feed-forward networks over that of the stream.
        qkv_bias: whether the projection to queries, keys and values has a bias.
        qk_scale: factor of the products of queries and keys; ``head_dim ** -0.5`` unless given.
        output_norm: LayerNorm over the channels of every returned map (``norm0`` ...).
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see
            :class:`dense3d.backbones.staged.StagedBackbone`; the embedding before a stage belongs to it.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or attention, not four stages, widths that are no multiple of ``head_dim``.

    Example:
        >>> import torch
        >>> arch = dict(dims=(8, 16, 32, 64), depths=(1, 1, 1, 1), head_dim=16)
        >>> backbone = UniFormer(arch, attention="windows", window_size=2, out_indices=(0, 2))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 32, 3, 4)]
    """

    converters = ("uniformer",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(dims=(16, 24, 32, 48), depths=(1, 1, 2, 1), head_dim=16),
            attention="windows",
            window_size=4,
        ),
        "conv stem": dict(
            arch=dict(
                dims=(16, 24, 32, 48), depths=(1, 1, 2, 1), head_dim=16, conv_stem=True, layer_scale=0.1
            )
        ),
    }

    def __init__(
        self,
        arch: str | dict = "small",
        attention: str = "global",
        window_size: int = 14,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        output_norm: bool = True,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch)
        self.depths = tuple(sizes["depths"])
        super().__init__(sizes["dims"], 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        if attention not in ATTENTIONS:
            raise ConfigError(
                f"UniFormer: attention={attention!r}{did_you_mean(attention, ATTENTIONS)} "
                f"(known: {', '.join(ATTENTIONS)})"
            )
        embedding = ConvEmbedding if sizes.get("conv_stem", False) else PatchEmbedding
        last = max(sum(self.depths) - 1, 1)
        rates = iter([drop_path_rate * i / last for i in range(sum(self.depths))])
        self.stages = nn.ModuleList()
        for index, (before, dim) in enumerate(pairwise((in_channels, *self.channels))):
            blocks: list[nn.Module] = []
            for number in range(self.depths[index]):
                if index < 2:
                    blocks.append(ConvBlock(dim, mlp_ratio, next(rates)))
                    continue
                window = None if index == 3 or _is_global(attention, number) else window_size
                attend = _attention(dim, dim // sizes.get("head_dim", 64), qkv_bias, qk_scale, window)
                options = dict(layer_scale=sizes.get("layer_scale"), drop_path=next(rates))
                blocks.append(AttentionBlock(dim, attend, mlp_ratio=mlp_ratio, **options))
            self.stages.append(Stage(embedding(before, dim, 4 if index == 0 else 2), blocks))
        if output_norm:
            for index, dim in zip(self.out_indices, self.out_channels):
                self.add_module(f"norm{index}", ChannelLayerNorm(dim))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """The largest stride: nothing is left over at any embedding."""
        return self.patch_size * 2 ** (len(self.channels) - 1)

    def class_head(self, num_classes: int) -> nn.Module:
        """Batch norm, mean over the pixels, linear layer."""
        return NormedMapHead(nn.BatchNorm2d(self.channels[-1]), self.channels[-1], num_classes)


def _attention(
    dim: int, heads: int, qkv_bias: bool, qk_scale: float | None, window: int | None
) -> SelfAttention:
    """Attention of all tokens, or within windows, which are filled up with empty tokens."""
    bias = "full" if qkv_bias else "none"
    if window is None:
        return SelfAttention(dim, heads, bias, qk_scale=qk_scale)
    return WindowAttention(dim, heads, bias, qk_scale=qk_scale, window_size=window, padding="bias")


def _is_global(attention: str, block: int) -> bool:
    """Whether a block of stage 2 attends to the whole map."""
    return attention == "global" or (attention == "hybrid" and block % 4 == 3)


def _sizes(arch: str | dict) -> dict:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"UniFormer has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        return ARCHITECTURES[arch]
    known = ("dims", "depths", "head_dim", *_OPTIONAL)
    for key in arch:
        if key not in known:
            raise ConfigError(
                f"UniFormer: arch has no key {key!r}{did_you_mean(key, known)} (known: {', '.join(known)})"
            )
    if not {"dims", "depths"} <= set(arch):
        raise ConfigError(f"UniFormer: arch needs dims and depths, but has {', '.join(sorted(arch))}")
    if not len(arch["dims"]) == len(arch["depths"]) == 4:
        raise ConfigError(
            f"UniFormer has four stages, but arch has {len(arch['dims'])} dims "
            f"and {len(arch['depths'])} depths"
        )
    head_dim = arch.get("head_dim", 64)
    for dim in arch["dims"][2:]:
        if dim % head_dim:
            raise ConfigError(f"UniFormer: {dim} channels are no multiple of head_dim={head_dim}")
    return arch
