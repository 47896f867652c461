"""Swin Transformer for dense prediction, V1 and V2.

Liu et al., Swin Transformer, ICCV 2021 (arXiv:2103.14030), and Swin Transformer V2, CVPR 2022
(arXiv:2111.09883); official dense code: SwinTransformer/Swin-Transformer-Object-Detection. Blocks, patch
merging and the position tables are torchvision's. Own are the window attention (torchvision never shifts
along a side that fits into one window, the official dense code does; and PyTorch's fused attention is used),
the padding of sizes that are no multiple of the patch, the absolute position table and the output norms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import swin_transformer as tv

from dense3d.backbones.staged import StagedBackbone
from dense3d.backbones.window_attention import SwinAttention, SwinAttentionV2
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.map_head import NormedMapHead
from dense3d.registry import MODELS

# Released sizes. The numbers of the V2 windows are those of pre-training at 256 pixels.
ARCHITECTURES: dict[str, dict] = {
    "tiny": dict(embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    "small": dict(embed_dim=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24)),
    "base": dict(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
    "large": dict(embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48)),
}


class NormedPatchEmbed(nn.Module):
    """Patches of ``patch_size`` squared pixels to tokens: a convolution and a LayerNorm over channels."""

    def __init__(self, in_channels: int, embed_dim: int, patch_size: int, norm: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dim, patch_size, patch_size)
        self.norm = nn.LayerNorm(embed_dim) if norm else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, H / patch_size, W / patch_size, C)``."""
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class Stage(nn.Module):
    """Blocks of one resolution, and the patch merging after them where there is a next stage."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample


@MODELS.register_module()
class Swin(StagedBackbone):
    """Swin Transformer, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size (``"tiny"``, ``"small"``, ``"base"``, ``"large"``), or a dict with
            ``embed_dim``, ``depths`` and ``num_heads``.
        version: 1, or 2 (cosine attention, continuous position bias, norms after the branches).
        window_size: side of the attention windows, in tokens, for all stages or one each. Default: 7, or 8
            for version 2.
        pretrained_window_sizes: version 2 only: window of pre-training per stage, by which the coordinates
            of the position bias are scaled where fine-tuning enlarged it. Default, and 0: ``window_size``.
        mlp_ratio: width of the MLP over that of the stream.
        qkv_bias: whether the projection to queries, keys and values has a bias.
        qk_scale: version 1 only: factor of the products of queries and keys. Default: one over the root of a
            head's channels.
        patch_norm: LayerNorm after the patch embedding.
        absolute_position_size: side of a learned absolute position table in tokens, resized to each
            image; ``None`` for none, as in all released models.
        shift_small_maps: whether odd blocks also shift along a side that fits into one window. The
            official dense code does; torchvision (hence Relation-DETR) and all V2 code do not.
            Default: as the official code of ``version``.
        output_norm: LayerNorm on every returned map (``norm0`` ...).
        drop_path_rate: rate of the last block; it grows linearly from 0.
        patch_size, in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`;
            the patch merging after a stage belongs to it.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, embed_dim * 2 ** i, ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size, heads that do not divide the width, lists of different lengths, windows
            too small, stages out of range, ``qk_scale`` for version 2.

    Example:
        >>> backbone = Swin(dict(embed_dim=16, depths=(1, 1), num_heads=(2, 4)), out_indices=(0, 1))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 16, 9, 13), (1, 32, 5, 7)]
    """

    downsampling_ends_stage = True
    converters = ("swin", "swin-torchvision", "swin-timm", "swin-mmdet")
    block_types: ClassVar[dict[int, type]] = {1: tv.SwinTransformerBlock, 2: tv.SwinTransformerBlockV2}
    tiny_variants: ClassVar[dict[str, dict]] = {
        version: dict(
            arch=dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4)),
            version=int(version[1]),
            window_size=4,
        )
        for version in ("V1", "V2")
    }

    def __init__(
        self,
        arch: str | dict = "tiny",
        version: int = 1,
        window_size: int | Sequence[int] | None = None,
        pretrained_window_sizes: Sequence[int] | None = None,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        patch_norm: bool = True,
        absolute_position_size: int | None = None,
        shift_small_maps: bool | None = None,
        output_norm: bool = True,
        drop_path_rate: float = 0.1,
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch, version)
        embed_dim, self.depths, num_heads = sizes["embed_dim"], tuple(sizes["depths"]), sizes["num_heads"]
        channels = [embed_dim * 2**i for i in range(len(self.depths))]
        super().__init__(channels, patch_size, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        self.version = version
        self.window_size = (7 if version == 1 else 8) if window_size is None else window_size
        small = version == 1 if shift_small_maps is None else shift_small_maps
        windows = [0] * len(channels) if pretrained_window_sizes is None else pretrained_window_sizes
        given = self.window_size
        sides = tuple(given) if isinstance(given, Sequence) else (given,) * len(channels)
        _check_windows(sides, windows, len(channels), version)
        if version == 2 and qk_scale is not None:
            raise ConfigError(
                f"Swin: qk_scale={qk_scale}, but the attention of V2 learns its scale: leave it out"
            )
        self.patch_embed = NormedPatchEmbed(in_channels, embed_dim, patch_size, patch_norm)
        if absolute_position_size:
            side = absolute_position_size
            self.absolute_pos_embed = nn.Parameter(
                nn.init.trunc_normal_(torch.empty(1, embed_dim, side, side), std=0.02)
            )
        last = max(sum(self.depths) - 1, 1)
        rates = (drop_path_rate * i / last for i in range(sum(self.depths)))
        self.layers = nn.ModuleList()
        for index, (dim, depth, heads) in enumerate(zip(channels, self.depths, num_heads)):
            side = sides[index]
            if version == 1:
                merging = tv.PatchMerging
                attention = partial(
                    SwinAttention, qkv_bias=qkv_bias, qk_scale=qk_scale, shift_small_maps=small
                )
            else:
                merging = tv.PatchMergingV2
                attention = partial(
                    SwinAttentionV2,
                    qkv_bias=qkv_bias,
                    shift_small_maps=small,
                    pretrained_window=windows[index],
                )
            blocks = [
                self.block_types[version](
                    dim,
                    heads,
                    [side] * 2,
                    [side // 2 * (i % 2)] * 2,
                    mlp_ratio=mlp_ratio,
                    stochastic_depth_prob=next(rates),
                    attn_layer=attention,
                )
                for i in range(depth)
            ]
            self.layers.append(Stage(blocks, merging(dim) if index < len(channels) - 1 else None))
        if output_norm:
            for index, dim in zip(self.out_indices, self.out_channels):
                self.add_module(f"norm{index}", nn.LayerNorm(dim))
        self._initialise()
        self.freeze()

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> tokens ``(B, H / patch_size, W / patch_size, C)``."""
        x = self.patch_embed(images)
        if hasattr(self, "absolute_pos_embed"):
            table = F.interpolate(self.absolute_pos_embed, size=x.shape[1:3], mode="bicubic")
            x = x + table.permute(0, 2, 3, 1)
        return x

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Merge the patches of the map before, then run the blocks: ``(B, h, w, C)``."""
        if index > 0:
            x = self.downsampling(index)(x)
        for block in self.blocks(index):
            x = self.run(block, x)
        return x

    def to_map(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` -> ``(B, C, h, w)``."""
        return x.permute(0, 3, 1, 2).contiguous()

    def class_head(self, num_classes: int) -> nn.Module:
        """Norm of every pixel, mean, linear layer."""
        channels = self.out_channels[-1]
        return NormedMapHead(ChannelLayerNorm(channels, eps=1e-5), channels, num_classes)

    def stem_modules(self) -> list[nn.Module]:
        """The patch embedding."""
        return [self.patch_embed]

    def downsampling(self, index: int) -> nn.Module:
        """The patch merging before stage ``index``."""
        return self.layers[index - 1].downsample

    def freeze(self) -> None:
        """As the base does; the absolute table goes with the stem."""
        super().freeze()
        if self.frozen_stages >= 0 and hasattr(self, "absolute_pos_embed"):
            self.absolute_pos_embed.requires_grad_(False)

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.layers[index].blocks

    def layer_ids(self) -> dict[str, int]:
        """Depth of every parameter, as Microsoft's fine-tuning recipes count it.

        0 the stem, then one id a block over all stages; a patch merging has the id of the block before it;
        output norms count with the head: last block + 1.
        """
        ids = {}
        for name, _ in self.named_parameters():
            parts = name.split(".")
            if parts[0] != "layers":
                ids[name] = sum(self.depths) + 1 if parts[0].startswith("norm") else 0
                continue
            stage = int(parts[1])
            block = int(parts[3]) + 1 if parts[2] == "blocks" else self.depths[stage]
            ids[name] = sum(self.depths[:stage]) + block
        return ids

    def no_weight_decay(self) -> set[str]:
        """Position tables; vectors and biases are the optimiser's rule."""
        tables = ("absolute_pos_embed", "relative_position_bias_table", "logit_scale")
        return {n for n, _ in self.named_parameters() if n.endswith(tables) or ".cpb_mlp." in n}

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resize position tables of another window or image size (bicubic); output norms may be absent."""
        own = self.state_dict()
        adapted, resized = dict(state), []
        for name, table in state.items():
            if name not in own or table.shape == own[name].shape:
                continue
            square = math.isqrt(table.shape[0]) ** 2 == table.shape[0]
            if (
                name.endswith("relative_position_bias_table")
                and square
                and table.shape[1] == own[name].shape[1]
            ):
                adapted[name] = resize_bias_table(table, own[name].shape[0])
            elif name == "absolute_pos_embed":
                adapted[name] = F.interpolate(table, own[name].shape[-2:], mode="bicubic")
            else:
                continue
            resized.append(name)
        if resized:
            self.log(
                f"{len(resized)} position tables of the checkpoint belong to another window or image and "
                f"were resized to window {self.window_size} (bicubic), such as {resized[0]}"
            )
        return adapted

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.version == 2:  # V2 starts with identity blocks
            for stage in self.layers:
                for block in stage.blocks:
                    nn.init.zeros_(block.norm1.weight)
                    nn.init.zeros_(block.norm2.weight)


def resize_bias_table(table: Tensor, length: int) -> Tensor:
    """Resize a relative position bias table to another window.

    Args:
        table: ``((2 * w - 1) ** 2, heads)``.
        length: rows wanted, a square of an odd number.

    Returns:
        ``(length, heads)``, bicubic without aligned corners, as the official code.

    Example:
        >>> resize_bias_table(torch.ones(169, 3), 529).shape
        torch.Size([529, 3])
    """
    side, wanted = math.isqrt(table.shape[0]), math.isqrt(length)
    grid = table.t().reshape(1, -1, side, side)
    resized = F.interpolate(grid, size=(wanted, wanted), mode="bicubic", align_corners=False)
    return resized.reshape(-1, length).t().contiguous()


def _check_windows(sides: Sequence[int], pretrained: Sequence[int], stages: int, version: int) -> None:
    if len(sides) != stages:
        raise ConfigError(f"Swin: {len(sides)} window sizes, but {stages} stages: give one for each, or one")
    if min(sides) < version:
        needs = "1 token or more" if version == 1 else "2 tokens or more: one has no offsets to scale"
        raise ConfigError(
            f"Swin: window_size={min(sides)}, but the side of a window of V{version} has {needs}"
        )
    if len(pretrained) != stages or any(side != 0 and side < 2 for side in pretrained):
        raise ConfigError(
            f"Swin: pretrained_window_sizes={tuple(pretrained)}: give one for each of the {stages} stages, "
            "2 or more, or 0 for window_size"
        )


def _sizes(arch: str | dict, version: int) -> dict:
    if version not in (1, 2):
        raise ConfigError(f"Swin: version={version!r}, but there are 1 and 2")
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"Swin has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        return ARCHITECTURES[arch]
    if set(arch) != {"embed_dim", "depths", "num_heads"}:
        raise ConfigError(
            f"Swin: arch needs embed_dim, depths and num_heads, but has {', '.join(sorted(arch))}"
        )
    if len(arch["depths"]) != len(arch["num_heads"]):
        raise ConfigError(f"Swin: {len(arch['depths'])} depths, but {len(arch['num_heads'])} num_heads")
    for index, heads in enumerate(arch["num_heads"]):
        dim = arch["embed_dim"] * 2**index
        if dim % heads:
            raise ConfigError(f"Swin: the {heads} heads of stage {index} do not divide its width {dim}")
    return arch
