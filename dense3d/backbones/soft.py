"""SOFT and SOFT-Norm, pyramids with softmax-free attention.

Lu et al., "SOFT: Softmax-free Transformer with Linear Complexity", NeurIPS 2021 (arXiv:2110.11945), and
"Softmax-Free Linear Transformers", IJCV 2024 (arXiv:2207.03341); official code: fudan-zvg/SOFT, which reports
dense results and has no code for them. The maps are what the stages give, the last one after the final norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.attention import SelfAttention
from dense3d.layers.class_heads import TokenHead
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.mlp import FeedForward, tanh_gelu
from dense3d.layers.patch_embed import Grid, map_to_tokens, tokens_to_map
from dense3d.layers.softmax_free_attention import SoftmaxFreeAttention
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS


def _released(width: int, heads: int, *depths: int) -> dict:
    return dict(dims=(64, 128, width, 512), depths=depths, num_heads=(2, 4, heads, 16))


# Released sizes, those of SOFT-Norm up to "large".
ARCHITECTURES: dict[str, dict] = {
    "tiny": _released(320, 10, 1, 2, 3, 2),
    "small": _released(320, 10, 1, 3, 20, 4),
    "medium": _released(288, 9, 1, 3, 29, 5),
    "large": _released(320, 10, 1, 3, 40, 5),
    "huge": _released(352, 11, 1, 5, 49, 5),
}
_LANDMARKS = dict(landmark_ratios=(8, 4, 2), value_kernels=(9, 5, 3))  # of the first three stages
_STEM_WIDTH = 32
TABLE_SIDES = (56, 28, 14, 7)  # of the position tables, whatever the images of training


class SoftmaxFreeBlock(nn.Module):
    """Post-norm block: ``norm1(x + attention)``, then ``norm2(x + feed-forward)``.

    What the official code calls drop path drops single elements of both branches here.

    Shape:
        ``(B, h * w, dim)`` to the same.
    """

    def __init__(self, dim: int, attn: SoftmaxFreeAttention, dropout: float) -> None:
        super().__init__()
        self.attn = attn
        self.norm1 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, 4 * dim, activation=tanh_gelu)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Tokens on ``grid``."""
        x = self.norm1(x + self.dropout(self.attn(x, grid)))
        return self.norm2(x + self.dropout(self.mlp(x)))


class Stage(nn.Module):
    """Patches, a table of positions, the class token where there is one, and blocks of one resolution."""

    def __init__(
        self, patch_embed: nn.Module, dim: int, side: int, class_token: bool, blocks: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.patch_embed = patch_embed
        self.pos_embed = nn.Parameter(torch.zeros(1, class_token + side**2, dim))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if class_token else None
        self.blocks = nn.ModuleList(blocks)
        self.side = side

    def positions(self, grid: Grid) -> Tensor:
        """The table resized to a grid (bilinear), ``(1, P + h * w, C)``."""
        patches = self.pos_embed[:, -(self.side**2) :]
        if grid == (self.side, self.side):
            return self.pos_embed
        table = tokens_to_map(patches, (self.side, self.side))
        resized = map_to_tokens(F.interpolate(table, grid, mode="bilinear", align_corners=False))
        return torch.cat([self.pos_embed[:, : -(self.side**2)], resized], dim=1)


@MODELS.register_module()
class SOFT(StagedBackbone):
    """SOFT, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size (``"tiny"``, ``"small"``, ``"medium"``, ``"large"``, ``"huge"``), or a dict with
            ``dims``, ``depths`` and ``num_heads``, four of each, and, where they differ from (8, 4, 2) and
            (9, 5, 3), ``landmark_ratios`` and ``value_kernels`` of the first three stages.
        normalised: SOFT-Norm, as all dense results have it; plain SOFT is bound to the size of its training.
        iterations: Newton steps of each inverse.
        mlp_ratio, qkv_bias, qk_scale: of the last stage, which has softmax attention.
        norm_eps: of the last stage and the final norm.
        drop_path_rate: rate of the last block; it grows linearly from 0. The first three stages drop single
            elements, as the official code does.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the patches
            of a stage, and its positions, belong to it.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or key, lists of other lengths, heads that do not divide the width, stages
            out of range.

    Example:
        >>> arch = dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2))
        >>> [tuple(m.shape) for m in SOFT(arch)(torch.zeros(2, 3, 70, 50))]
        [(2, 8, 18, 13), (2, 16, 9, 7), (2, 24, 5, 4), (2, 32, 3, 2)]
    """

    converters = ("soft",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        name: dict(
            arch=dict(dims=(16, 24, 32, 48), depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4)),
            normalised=normalised,
        )
        for name, normalised in (("plain", False), ("normalised", True))
    }

    def __init__(
        self,
        arch: str | dict = "tiny",
        normalised: bool = True,
        iterations: int = 20,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        norm_eps: float = 1e-6,
        drop_path_rate: float = 0.1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch)
        dims, self.depths = sizes["dims"], tuple(sizes["depths"])
        super().__init__(dims, 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        self.norm_eps = norm_eps
        last = max(sum(self.depths) - 1, 1)
        rates = (drop_path_rate * i / last for i in range(sum(self.depths)))
        self.stages = nn.ModuleList()
        for index, (dim, depth, heads) in enumerate(zip(dims, self.depths, sizes["num_heads"])):
            if index < 3:
                ratio, kernel = sizes["landmark_ratios"][index], sizes["value_kernels"][index]
                blocks = [
                    SoftmaxFreeBlock(
                        dim,
                        SoftmaxFreeAttention(dim, heads, ratio, kernel, normalised, iterations),
                        next(rates),
                    )
                    for _ in range(depth)
                ]
            else:
                bias = "full" if qkv_bias else "none"
                blocks = [
                    TransformerBlock(
                        dim,
                        heads,
                        mlp_ratio,
                        drop_path=next(rates),
                        norm_eps=norm_eps,
                        attn=SelfAttention(dim, heads, bias, qk_scale=qk_scale),
                    )
                    for _ in range(depth)
                ]
            embed = _stem(in_channels, dim) if index == 0 else nn.Sequential(*_conv(dims[index - 1], dim, 2))
            self.stages.append(Stage(embed, dim, TABLE_SIDES[index], index == 3, blocks))
        if 3 in self.out_indices:
            self.norm3 = ChannelLayerNorm(dims[3], norm_eps)
        self._initialise()
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """Nothing is padded: strided convolutions round sizes up."""
        return 1

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, C, ceil(H / 4), ceil(W / 4))``."""
        return self.stages[0].patch_embed(images)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Patches of the map before, then the blocks: ``(B, C, h, w)``, without the class token."""
        tokens, grid = self.tokens(index, x)
        return tokens_to_map(tokens[:, index == 3 :], grid)

    def tokens(self, index: int, x: Tensor) -> tuple[Tensor, Grid]:
        """Tokens of stage ``index``, in the last one class token first, and their grid."""
        stage = self.stages[index]
        x = stage.patch_embed(x) if index > 0 else x
        tokens, grid = map_to_tokens(x), (x.shape[2], x.shape[3])
        if stage.cls_token is not None:
            tokens = torch.cat([stage.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + stage.positions(grid)
        for block in stage.blocks:
            tokens = self.run(block, tokens, grid)
        return tokens, grid

    def embed(self, images: Tensor) -> Tensor:
        """What the official classifier's tail sees: tokens of the last stage ``(B, 1 + h * w, C)``."""
        self.check_images(images)
        x = self.stem(images)
        for index in range(3):
            x = self.stage(index, x)
        return self.tokens(3, x)[0]

    def class_head(self, num_classes: int) -> nn.Module:
        """Norm and linear layer on the class token."""
        dim = self.channels[3]
        return TokenHead(nn.LayerNorm(dim, eps=self.norm_eps), dim, num_classes)

    def stem_modules(self) -> list[nn.Module]:
        """The patches of the first stage."""
        return [self.stages[0].patch_embed]

    def downsampling(self, index: int) -> nn.Module:
        """The patches of stage ``index``."""
        return self.stages[index].patch_embed

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.stages[index].blocks

    def freeze(self) -> None:
        """As the base does; positions go with the patches, the class token with the blocks of its stage."""
        super().freeze()
        for index, stage in enumerate(self.stages):
            unused = index > self.out_indices[-1]
            if unused or index < self.frozen_stages or self.frozen_stages == index == 0:
                stage.pos_embed.requires_grad_(False)
            if stage.cls_token is not None and (unused or index < self.frozen_stages):
                stage.cls_token.requires_grad_(False)

    def layer_ids(self) -> dict[str, int]:
        """As the base has it; what a stage adds to its patches has their depth."""
        ids = super().layer_ids()
        for name in ids:
            if name.endswith(("cls_token", "pos_embed")):
                stage = int(name.split(".")[1])
                ids[name] = sum(self.depths[:stage]) + (stage > 0)
        return ids

    def no_weight_decay(self) -> set[str]:
        """The class token; vectors and biases are the optimiser's rule."""
        return {name for name, _ in self.named_parameters() if name.endswith("cls_token")}

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, Stage):
                nn.init.trunc_normal_(module.pos_embed, std=0.02)
                if module.cls_token is not None:
                    nn.init.trunc_normal_(module.cls_token, std=0.02)


def _conv(in_channels: int, channels: int, stride: int) -> list[nn.Module]:
    """3x3 convolution, batch norm, ReLU."""
    return [
        nn.Conv2d(in_channels, channels, 3, stride, padding=1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]


def _stem(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        *_conv(in_channels, _STEM_WIDTH, 2),
        *_conv(_STEM_WIDTH, _STEM_WIDTH, 1),
        *_conv(_STEM_WIDTH, channels, 2),
    )


def _sizes(arch: str | dict) -> dict:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"SOFT has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        arch = ARCHITECTURES[arch]
    needed = ("dims", "depths", "num_heads")
    for key in arch:
        if key not in (*needed, *_LANDMARKS):
            raise ConfigError(f"SOFT: arch has no key {key!r}{did_you_mean(key, (*needed, *_LANDMARKS))}")
    if not set(needed) <= set(arch):
        raise ConfigError(f"SOFT: arch needs dims, depths and num_heads, but has {', '.join(sorted(arch))}")
    sizes = {**_LANDMARKS, **arch}
    for key, values in sizes.items():
        count = 3 if key in _LANDMARKS else 4
        if len(values) != count:
            raise ConfigError(f"SOFT: arch has {len(values)} {key}, but there are {count} stages with them")
    return sizes
