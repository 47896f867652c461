"""CrossFormer and CrossFormer++: patches of several sizes, attention within near and within far groups.

Wang et al., "CrossFormer: A Versatile Vision Transformer Hinging on Cross-scale Attention", ICLR 2022
(arXiv:2108.00154), and "CrossFormer++", TPAMI 2024 (arXiv:2303.06908); official code: cheerss/CrossFormer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.group_attention import GroupAttention, from_groups, to_groups
from dense3d.layers.map_head import NormedMapHead
from dense3d.layers.mlp import FeedForward
from dense3d.layers.transformer_block import DropPath
from dense3d.registry import MODELS


def _heads(first: int) -> tuple[int, ...]:
    return tuple(first * 2**i for i in range(4))


# Released sizes; those of CrossFormer++ ("pp") with the groups of their pre-training.
_PP = dict(depths=(2, 2, 18, 2), group_size=(4, 4, 14, 7), interval=(4, 2, 1, 1), cooling=True)
ARCHITECTURES: dict[str, dict] = {
    "tiny": dict(embed_dim=64, depths=(1, 1, 8, 6), num_heads=_heads(2)),
    "small": dict(embed_dim=96, depths=(2, 2, 6, 2), num_heads=_heads(3)),
    "base": dict(embed_dim=96, depths=(2, 2, 18, 2), num_heads=_heads(3)),
    "large": dict(embed_dim=128, depths=(2, 2, 18, 2), num_heads=_heads(4)),
    "pp_small": dict(_PP, embed_dim=64, num_heads=_heads(2)),
    "pp_base": dict(_PP, embed_dim=96, num_heads=_heads(3)),
    "pp_large": dict(_PP, embed_dim=128, num_heads=_heads(4)),
    "pp_huge": dict(_PP, embed_dim=128, depths=(6, 6, 18, 2), num_heads=_heads(4)),
}
_OPTIONAL = {"group_size": 7, "interval": (8, 4, 2, 1), "cooling": False}


class CrossScaleConv(nn.Module):
    """Convolutions of one stride and several kernels, whose channels stand side by side.

    The larger a kernel, the fewer channels it has: a half, a quarter, ...; the last two have equally many.
    """

    def __init__(self, in_channels: int, out_channels: int, kernels: Sequence[int], stride: int) -> None:
        super().__init__()
        last = len(kernels) - 1
        self.convs = nn.ModuleList(
            nn.Conv2d(
                in_channels, out_channels // 2 ** min(i + 1, last), kernel, stride, (kernel - stride) // 2
            )
            for i, kernel in enumerate(kernels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` -> ``(B, H / stride, W / stride, out_channels)``."""
        return torch.cat([conv(x) for conv in self.convs], dim=1).permute(0, 2, 3, 1)


class CrossScaleEmbedding(nn.Module):
    """Patches of several sizes around each place, and a layer norm."""

    def __init__(self, in_channels: int, dim: int, kernels: Sequence[int], norm: bool) -> None:
        super().__init__()
        self.proj = CrossScaleConv(in_channels, dim, kernels, kernels[0])
        self.norm = nn.LayerNorm(dim) if norm else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, H / 4, W / 4, C)``."""
        return self.norm(self.proj(images))


class CrossScaleMerging(nn.Module):
    """A layer norm, and convolutions of several kernels with a stride of 2 to twice the channels."""

    def __init__(self, dim: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.reduction = CrossScaleConv(dim, 2 * dim, kernels, 2)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` -> ``(B, h / 2, w / 2, 2 C)``."""
        return self.reduction(self.norm(x).permute(0, 3, 1, 2))


class CrossFormerBlock(nn.Module):
    """A transformer block that attends within near groups, or within far ones.

    Args:
        dim: channels.
        num_heads: attention heads.
        group_size: G, tokens on a side of a group. A map with a side of at most G is one group.
        interval: I, distance between the tokens of a group; 1 for near groups. None for the smallest with
            which far groups reach over the map.
        mlp_ratio, qkv_bias, qk_scale: as in :class:`CrossFormer`.
        drop_path: probability that a sample skips a branch while training.
        cooling: whether a depthwise 3x3 convolution and a layer norm follow, without residual.

    Shape:
        ``(B, h, w, dim)`` to the same.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        group_size: int,
        interval: int | None,
        mlp_ratio: float,
        qkv_bias: bool,
        qk_scale: float | None,
        drop_path: float,
        cooling: bool,
    ) -> None:
        super().__init__()
        self.group_size, self.interval = group_size, interval
        self.norm1 = nn.LayerNorm(dim)
        self.attn = GroupAttention(dim, num_heads, qkv_bias, qk_scale)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)
        self.cooling = nn.Conv2d(dim, dim, 3, padding=1, groups=dim) if cooling else None
        self.cooling_norm = nn.LayerNorm(dim) if cooling else None

    def forward(self, x: Tensor) -> Tensor:
        """``(B, h, w, dim)`` to the same."""
        x = x + self.drop_path(self.attend(self.norm1(x)))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        if self.cooling is None:
            return x
        return self.cooling_norm(self.cooling(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))

    def attend(self, x: Tensor) -> Tensor:
        """Attention within the groups of a map ``(B, h, w, dim)``, which is padded to whole ones."""
        height, width = x.shape[1:3]
        side, interval = self.group_size, self.interval
        if min(height, width) <= side:
            side, interval = max(height, width), 1
        elif interval is None:
            interval = -(-max(height, width) // side)
        pad_y, pad_x = (-n % (side * interval) for n in (height, width))
        padding = None
        if pad_y or pad_x:
            x = F.pad(x, (0, 0, 0, pad_x, 0, pad_y))
            real = torch.ones(1, height, width, 1, dtype=torch.bool, device=x.device)
            real = F.pad(real, (0, 0, 0, pad_x, 0, pad_y))
            padding = ~to_groups(real, side, interval)[0, :, :, 0]
        grid = (height + pad_y, width + pad_x)
        attended = self.attn(to_groups(x, side, interval), side, padding)
        return from_groups(attended, grid, side, interval)[:, :height, :width]


class Stage(nn.Module):
    """Blocks of one resolution, and the merging after them where there is a next stage."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample


@MODELS.register_module()
class CrossFormer(StagedBackbone):
    """CrossFormer and CrossFormer++, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size (:data:`ARCHITECTURES`), or a dict with ``embed_dim``, ``depths``, ``num_heads``
            and, where they are not 7, (8, 4, 2, 1) and False: ``group_size``, ``interval`` and ``cooling``
            (layers of CrossFormer++ after every third block).
        group_size: tokens on a side of a group, for all stages or one each, instead of that of ``arch``: no
            weight depends on it. Published dense models of all sizes have 7.
        interval: distance of tokens in far groups of each stage, instead of that of ``arch``; published dense
            models have (8, 4, 2, 1). ``"adaptive"`` for the smallest that reaches over the map.
        patch_sizes: kernels of the embedding; the first is its stride.
        merge_sizes: kernels of the merging after each stage but the last.
        patch_norm: LayerNorm after the embedding.
        mlp_ratio: width of the MLP over that of the stream.
        qkv_bias: whether the projection to queries, keys and values has a bias.
        qk_scale: factor of the products of queries and keys; one over the root of a head's channels unless
            given.
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the merging
            after a stage belongs to it.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, embed_dim * 2 ** i, ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size, heads that do not divide the width, lists of different lengths.

    Example:
        >>> arch = dict(embed_dim=16, depths=(2, 1), num_heads=(1, 2), interval=(2, 1))
        >>> backbone = CrossFormer(arch, merge_sizes=((2, 4),), out_indices=(0, 1))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 16, 9, 13), (1, 32, 5, 7)]
    """

    downsampling_ends_stage = True
    converters = ("crossformer",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(embed_dim=16, depths=(2, 1, 2, 1), num_heads=(1, 2, 2, 4), group_size=4),
            patch_sizes=(4, 8),
        ),
        "++": dict(
            arch=dict(embed_dim=16, depths=(1, 1, 4, 1), num_heads=(1, 2, 2, 4), cooling=True),
            group_size=2,
            patch_sizes=(4, 8),
        ),
    }

    def __init__(
        self,
        arch: str | dict = "small",
        group_size: int | Sequence[int] | None = None,
        interval: Sequence[int] | str | None = None,
        patch_sizes: Sequence[int] = (4, 8, 16, 32),
        merge_sizes: Sequence[Sequence[int]] = ((2, 4), (2, 4), (2, 4)),
        patch_norm: bool = True,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_path_rate: float = 0.1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch, group_size, interval, merge_sizes)
        dim, self.depths, heads = sizes["embed_dim"], tuple(sizes["depths"]), sizes["num_heads"]
        channels = [dim * 2**i for i in range(len(self.depths))]
        super().__init__(channels, patch_sizes[0], in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        self.patch_embed = CrossScaleEmbedding(in_channels, dim, patch_sizes, patch_norm)
        last = max(sum(self.depths) - 1, 1)
        rates = iter([drop_path_rate * i / last for i in range(sum(self.depths))])
        self.layers = nn.ModuleList()
        for index, depth in enumerate(self.depths):
            blocks = [
                CrossFormerBlock(
                    channels[index],
                    heads[index],
                    sizes["group_size"][index],
                    sizes["interval"][index] if number % 2 else 1,
                    mlp_ratio,
                    qkv_bias,
                    qk_scale,
                    next(rates),
                    cooling=sizes["cooling"] and number % 3 == 2 and number < depth - 1,
                )
                for number in range(depth)
            ]
            merging = None
            if index < len(channels) - 1:
                merging = CrossScaleMerging(channels[index], merge_sizes[index])
            self.layers.append(Stage(blocks, merging))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """The largest stride: every merging takes even sizes."""
        return self.patch_size * 2 ** (len(self.channels) - 1)

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, H / 4, W / 4, C)``."""
        return self.patch_embed(images)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Merge the map before, then run the blocks: ``(B, h, w, C)``."""
        if index > 0:
            x = self.downsampling(index)(x)
        for block in self.blocks(index):
            x = self.run(block, x)
        return x

    def to_map(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` -> ``(B, C, h, w)``."""
        return x.permute(0, 3, 1, 2).contiguous()

    def output(self, index: int, x: Tensor) -> Tensor:
        """The map as it is: the official dense code has no output norms."""
        return self.to_map(x)

    def class_head(self, num_classes: int) -> nn.Module:
        """Norm of every pixel, mean, linear layer."""
        return NormedMapHead(ChannelLayerNorm(self.channels[-1], eps=1e-5), self.channels[-1], num_classes)

    def stem_modules(self) -> list[nn.Module]:
        """The embedding."""
        return [self.patch_embed]

    def downsampling(self, index: int) -> nn.Module:
        """The merging before stage ``index``."""
        return self.layers[index - 1].downsample

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.layers[index].blocks


def _sizes(
    arch: str | dict,
    group_size: int | Sequence[int] | None,
    interval: Sequence[int] | str | None,
    merge_sizes: Sequence[Sequence[int]],
) -> dict:
    """All of ``arch``, one entry a stage; an adaptive interval is None."""
    needed = ("embed_dim", "depths", "num_heads")
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"CrossFormer has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        arch = ARCHITECTURES[arch]
    known = (*needed, *_OPTIONAL)
    for key in arch:
        if key not in known:
            raise ConfigError(
                f"CrossFormer: arch has no key {key!r}{did_you_mean(key, known)} (known: {', '.join(known)})"
            )
    if not set(needed) <= set(arch):
        raise ConfigError(f"CrossFormer: arch needs {', '.join(needed)}, but has {', '.join(sorted(arch))}")
    sizes = {**_OPTIONAL, **arch}
    stages = len(sizes["depths"])
    sizes["group_size"] = sizes["group_size"] if group_size is None else group_size
    if isinstance(sizes["group_size"], int):
        sizes["group_size"] = (sizes["group_size"],) * stages
    sizes["interval"] = sizes["interval"] if interval is None else interval
    if sizes["interval"] == "adaptive":
        sizes["interval"] = (None,) * stages
    for key in ("num_heads", "group_size", "interval"):
        if isinstance(sizes[key], str) or len(sizes[key]) != stages:
            raise ConfigError(f"CrossFormer has {stages} stages, but {key}={sizes[key]!r}: give one for each")
    if len(merge_sizes) < stages - 1:
        raise ConfigError(
            f"CrossFormer merges {stages - 1} times, but merge_sizes has {len(merge_sizes)} entries"
        )
    for index, heads in enumerate(sizes["num_heads"]):
        width = sizes["embed_dim"] * 2**index
        if width % heads:
            raise ConfigError(
                f"CrossFormer: {heads} heads of stage {index} do not divide its {width} channels"
            )
    if sizes["embed_dim"] < 16:
        raise ConfigError(f"CrossFormer: embed_dim={sizes['embed_dim']}, but 16 or more are needed")
    return sizes
