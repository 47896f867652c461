"""SG-Former: blocks in pairs, the first of which tells the second which tokens to look at closely.

Ren et al., "SG-Former: Self-guided Transformer with Evolving Token Reallocation", ICCV 2023; official code:
OliverRensu/SG-Former, a classifier of 224 x 224 pixels. No dense code is public: any other size (filled
windows and bags, the position table resized) and what is handed out, the maps behind the norms that end the
stages, are decisions of ours that change nothing at that size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from dense3d.backbones.stage_sizes import stage_sizes
from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError
from dense3d.layers.conv_stem import ConvStem
from dense3d.layers.depthwise_mlp import DepthwiseMLP
from dense3d.layers.map_head import NormedMapHead
from dense3d.layers.patch_embed import resize_position_table, sincos_position_table
from dense3d.layers.significance_attention import BAGS, EnhancedAttention, GuidedAttention, HybridAttention
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS

# Released sizes.
ARCHITECTURES: dict[str, dict] = {
    "small": dict(dims=(64, 128, 256, 512), depths=(2, 4, 16, 1), num_heads=(2, 4, 8, 16)),
    "medium": dict(dims=(64, 128, 256, 512), depths=(2, 6, 28, 2), num_heads=(2, 4, 8, 16)),
    "base": dict(dims=(96, 192, 384, 768), depths=(4, 6, 24, 2), num_heads=(4, 6, 12, 24)),
}
_DEFAULTS = dict(reductions=(8, 4, 2, 1), mlp_ratios=4)


@MODELS.register_module()
class SGFormer(StagedBackbone):
    """SG-Former, maps of strides 4, 8, 16, 32.

    Tokens are sorted by how much attention they get: in float32, two nearly equal ones may change places with
    the order of a sum, and the maps with them. Compare networks in float64.

    Args:
        arch: a released size (``"small"``, ``"medium"``, ``"base"``), or a dict with, one value a stage,
            ``dims``, ``depths`` (even where tokens are merged), ``num_heads`` and, where they differ,
            ``reductions`` (8, 4, 2, 1; 1 is attention to all tokens) and ``mlp_ratios`` (4).
        img_size: side of the images of pre-training, which sets the size of the position table; it is resized
            to each image (bicubic).
        qkv_bias: whether queries, keys and values have biases.
        norm_eps: of the norms of blocks and stages.
        drop_path_rate: rate of the last block; it grows linearly from 0. Released: 0.1 small, 0.2 medium,
            0.4 base.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the
            down-sampling before a stage belongs to that stage.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or key, lists of different lengths, heads that do not divide the width or
            are an odd number, an odd number of blocks or another reduction where tokens are merged, stages
            out of range.

    Example:
        >>> backbone = SGFormer(dict(dims=(8, 16), depths=(2, 1), num_heads=(2, 2), reductions=(8, 1)),
        ...                     out_indices=(0, 1))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 5, 7)]
    """

    converters = ("sgformer",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(dims=(16, 24, 32, 48), depths=(2, 2, 2, 1), num_heads=(2, 2, 2, 4), mlp_ratios=2),
            img_size=64,
        )
    }

    def __init__(
        self,
        arch: str | dict = "small",
        img_size: int = 224,
        qkv_bias: bool = True,
        norm_eps: float = 1e-6,
        drop_path_rate: float = 0.1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = stage_sizes("SGFormer", arch, ARCHITECTURES, _DEFAULTS)
        _check_pairs(sizes["depths"], sizes["reductions"])
        self.depths = sizes["depths"]
        super().__init__(sizes["dims"], 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        first, side = sizes["dims"][0], math.ceil(img_size / 4)
        norm = partial(nn.GroupNorm, 1)
        self.patch_embed = ConvStem(in_channels, (first,) * 3, (2, 1, 2), norm, bias=False)
        self.embed_norm = nn.LayerNorm(first)
        self.pos_embed = nn.Parameter(torch.zeros(1, side**2, first))
        rates = iter(torch.linspace(0, drop_path_rate, sum(self.depths), device="cpu").tolist())
        self.stages = nn.ModuleList()
        dims_before = (None, *sizes["dims"][:-1])
        for before, dim, depth, heads, reduction, ratio in zip(
            dims_before, *(sizes[key] for key in ("dims", "depths", "num_heads", "reductions", "mlp_ratios"))
        ):
            blocks = [
                SignificanceBlock(
                    dim,
                    heads,
                    drop_path=next(rates),
                    norm_eps=norm_eps,
                    attn=_attention(number, dim, heads, qkv_bias, reduction),
                    mlp=DepthwiseMLP(dim, int(dim * ratio), conv_place="before", residual=True),
                )
                for number in range(depth)
            ]
            stage = nn.Module()
            stage.downsample = None if before is None else SeparableDownsampling(before, dim)
            stage.blocks, stage.norm = nn.ModuleList(blocks), nn.LayerNorm(dim, eps=norm_eps)
            self.stages.append(stage)
        self._initialise(side)
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """Nothing is padded, since group norms would see it: every convolution of stride 2 rounds up."""
        return 1

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, ceil(H / 4), ceil(W / 4), C)``, positions added."""
        x = self.embed_norm(self.patch_embed(images).permute(0, 2, 3, 1))
        grid, side = (x.shape[1], x.shape[2]), math.isqrt(self.pos_embed.shape[1])
        return x + resize_position_table(self.pos_embed, (side, side), grid).unflatten(1, grid)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Down-sample the map before, run the blocks, and the norm, which is in the way of the next stage."""
        if index > 0:
            x = self.downsampling(index)(x)
        significance = None
        for block in self.blocks(index):
            x, significance = self.run(block, x, significance)
        return self.stages[index].norm(x)

    def to_map(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` -> ``(B, C, h, w)``."""
        return x.permute(0, 3, 1, 2).contiguous()

    def stem_modules(self) -> list[nn.Module]:
        """The convolutions before the first stage and their norm."""
        return [self.patch_embed, self.embed_norm]

    def downsampling(self, index: int) -> nn.Module:
        """The convolutions before stage ``index``."""
        return self.stages[index].downsample

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.stages[index].blocks

    def freeze(self) -> None:
        """As the base does; the position table goes with the stem, a stage's norm with the stage."""
        super().freeze()
        if self.frozen_stages >= 0:
            self.pos_embed.requires_grad_(False)
        last = self.out_indices[-1]
        for index, stage in enumerate(self.stages):
            if index < self.frozen_stages or index > last:
                stage.norm.requires_grad_(False)

    def layer_ids(self) -> dict[str, int]:
        """As the base counts; the position table with the stem, a stage's norm with its last block."""
        ids = super().layer_ids() | {"pos_embed": 0}
        for index in range(len(self.channels)):
            last = sum(self.depths[: index + 1])
            ids |= {f"stages.{index}.norm.{name}": last for name in ("weight", "bias")}
        return ids

    def no_weight_decay(self) -> set[str]:
        """The position table."""
        return {"pos_embed"}

    def class_head(self, num_classes: int) -> nn.Module:
        """Mean over the pixels, linear layer; the norm is the last stage's."""
        return NormedMapHead(nn.Identity(), self.out_channels[-1], num_classes)

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resize the position table of another image size (bicubic)."""
        table, own = state.get("pos_embed"), self.pos_embed
        if table is None or table.shape == own.shape or table.shape[2] != own.shape[2]:
            return state
        source, target = math.isqrt(table.shape[1]), math.isqrt(own.shape[1])
        self.log(f"the position table of {source} x {source} tokens was resized to {target} x {target}")
        return state | {"pos_embed": resize_position_table(table, (source, source), (target, target))}

    def _initialise(self, side: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
            elif isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0, math.sqrt(2 * module.groups / fan_out))
            if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.pos_embed.copy_(sincos_position_table((side, side), self.channels[0]))


class SignificanceBlock(TransformerBlock):
    """A pre-norm block that hands the significance of its tokens on."""

    def forward(self, x: Tensor, significance: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``(B, h, w, dim)`` and what the block before has found, to the same."""
        attended, found = self.attn(self.norm1(x), significance)
        x = x + self.drop_path(attended)
        return x + self.drop_path(self.mlp(self.norm2(x))), found


class SeparableDownsampling(nn.Sequential):
    """Halve a channels-last map: 1x1, depthwise 3x3 of stride 2, 1x1, each with a group norm.

    Args:
        dim: channels before.
        out_dim: channels after.

    Shape:
        ``(B, h, w, dim)`` to ``(B, ceil(h / 2), ceil(w / 2), out_dim)``.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__(
            nn.Conv2d(dim, out_dim, 1, bias=False),
            nn.GroupNorm(1, out_dim),
            nn.GELU(),
            nn.Conv2d(out_dim, out_dim, 3, 2, padding=1, groups=out_dim, bias=False),
            nn.GroupNorm(1, out_dim),
            nn.GELU(),
            nn.Conv2d(out_dim, out_dim, 1, bias=False),
            nn.GroupNorm(1, out_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The map of half the size."""
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _attention(number: int, dim: int, heads: int, qkv_bias: bool, reduction: int) -> EnhancedAttention:
    """Attention of a block: the first of a pair finds the significance that the second one uses."""
    if reduction == 1:
        return EnhancedAttention(dim, heads, qkv_bias)
    kind = GuidedAttention if number % 2 else HybridAttention
    return kind(dim, heads, qkv_bias, reduction=reduction)


def _check_pairs(depths: Sequence[int], reductions: Sequence[int]) -> None:
    for stage, (depth, reduction) in enumerate(zip(depths, reductions)):
        if reduction != 1 and reduction not in BAGS:
            raise ConfigError(
                f"SGFormer: stage {stage} has the reduction {reduction}, but there are 1, 2, 4 and 8"
            )
        if reduction != 1 and depth % 2:
            raise ConfigError(
                f"SGFormer: stage {stage} has {depth} blocks, but where tokens are merged they are pairs: "
                "give an even number"
            )
