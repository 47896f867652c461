"""ResFormer: positions as functions of the image's size, for networks that see many resolutions.

Tian et al., "ResFormer: Scaling ViTs with Multi-Resolution Training", CVPR 2023, arXiv 2212.00776
(ruitian12/resformer). Official checkpoints: ``dense3d convert resformer``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dense3d.backbones.plain import (
    PlainArchitecture,
    PlainBackbone,
    drop_path_rates,
    initialise_linears,
    read_architecture,
)
from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention
from dense3d.layers.patch_embed import Grid, PatchEmbed, map_to_tokens, tokens_to_map
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS

ARCHITECTURES: dict[str, dict] = {
    "tiny": dict(embed_dim=192, depth=12, num_heads=3),
    "small": dict(embed_dim=384, depth=12, num_heads=6),
    "base": dict(embed_dim=768, depth=12, num_heads=12),
}


@dataclass(frozen=True)
class ResFormerArchitecture(PlainArchitecture):
    """What decides the weights of a ResFormer: what all plain architectures have; there is no table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embed_dim % 4:
            raise ConfigError(
                f"embed_dim={self.embed_dim} of a ResFormer: give a multiple of 4 for its sines"
            )


class GlobalPosition(nn.Module):
    """Sines of the place in the image, made local by a depthwise 3x3 convolution; section 3.3.

    Half of the channels encode the row, the other the column, from 1 to the number of rows and columns,
    brought to (0, 2 pi].

    Args:
        dim: channels, a multiple of 4.

    Shape:
        grid ``(h, w)`` to ``(1, h * w, dim)``.

    Example:
        >>> GlobalPosition(8)((3, 5)).shape
        torch.Size([1, 15, 8])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embed_layer = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, grid: Grid) -> Tensor:
        """The encoding of a grid."""
        weight = self.embed_layer.weight
        table = sine_table(grid, len(weight), weight.device).to(weight.dtype)
        return map_to_tokens(self.embed_layer(tokens_to_map(table, grid)))


def sine_table(grid: Grid, dim: int, device: torch.device | None = None) -> Tensor:
    """Sines at even and cosines at odd channels, rows first, ``(1, h * w, dim)``.

    Example:
        >>> sine_table((1, 1), 4).sum() < 2.001  # sin and cos of a whole turn, twice
        tensor(True)
    """
    half = dim // 2
    channel = torch.arange(half, dtype=torch.float64, device=device)
    frequency = 10000.0 ** (-2 * (channel // 2) / half)
    axes = []
    for count in grid:
        place = torch.arange(1, count + 1, dtype=torch.float64, device=device) / (count + 1e-6) * 2 * math.pi
        angle = place[:, None] * frequency  # (n, dim / 2)
        axes.append(torch.where(channel % 2 == 0, angle.sin(), angle.cos()))
    rows, columns = axes[0][:, None].expand(-1, grid[1], -1), axes[1][None].expand(grid[0], -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1).float()[None]


class LocalPositionAttention(SelfAttention):
    """Self-attention, and on the patches' values a depthwise 3x3 convolution that all heads share.

    Eq. 4. The convolution starts at zero.

    Args:
        dim, num_heads, qkv_bias, qk_scale: as in :class:`dense3d.layers.attention.SelfAttention`.

    Shape:
        ``(B, P + h * w, dim)`` to the same.

    Example:
        >>> attention = LocalPositionAttention(8, 2)
        >>> attention(torch.zeros(2, 1 + 15, 8), (3, 5), 1).shape
        torch.Size([2, 16, 8])
    """

    def __init__(
        self, dim: int, num_heads: int, qkv_bias: str = "full", qk_scale: float | None = None
    ) -> None:
        super().__init__(dim, num_heads, qkv_bias, qk_scale=qk_scale)
        width = dim // num_heads
        self.get_v = nn.Conv2d(width, width, 3, padding=1, groups=width)
        nn.init.zeros_(self.get_v.weight)
        nn.init.zeros_(self.get_v.bias)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, grid: Grid, num_prefix: int) -> Tensor:
        """Softmax attention of heads ``(B, M, P + N, d)``, plus the local term."""
        attended = super().attend(query, key, value, grid, num_prefix)
        patches = value[:, :, num_prefix:].flatten(0, 1)  # (B M, N, d)
        local = map_to_tokens(self.get_v(tokens_to_map(patches, grid))).unflatten(0, value.shape[:2])
        prefix, behind = attended[:, :, :num_prefix], attended[:, :, num_prefix:]
        return torch.cat([prefix, behind + local], dim=2)


@MODELS.register_module()
class ResFormer(PlainBackbone):
    """ResFormer as a dense backbone: one map of stride 16, or several; pyramids come from adapters.

    Nothing in it belongs to a size of images: positions are computed for the grid at hand, rows by the number
    of rows and columns by that of columns (the official code is for squares).

    Args:
        arch: ``"tiny"``, ``"small"``, ``"base"``, or a dict with ``name`` and what differs from it, or all
            attributes of :class:`ResFormerArchitecture`.
        out_indices: blocks whose tokens become maps, ascending; -1 is the last. Blocks after them do not run.
        final_norm: whether maps go through the final norm.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0.
        frozen_stages: -1 freezes nothing, 0 the embedding, k also the first k blocks, ``depth`` all.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads official weights
            or ours.

    Shape:
        images ``(B, in_channels, H, W)``, normalised RGB, H, W >= ``patch_size`` -> tuple of ``(B, D, ceil(H
        / patch_size), ceil(W / patch_size))``.

    Raises:
        ConfigError: an argument does not fit the architecture.
        DataError: an image is smaller than a patch, or has another number of channels.

    Example:
        >>> vit = ResFormer(dict(name="tiny", depth=2), out_indices=(0, 1))
        >>> [tuple(f.shape) for f in vit(torch.zeros(1, 3, 45, 60))]
        [(1, 192, 3, 4), (1, 192, 3, 4)]
    """

    converters = ("resformer",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(arch=dict(embed_dim=32, depth=4, num_heads=2), out_indices=(0, 1, 2, 3))
    }

    def __init__(
        self,
        arch: str | dict | ResFormerArchitecture,
        out_indices: Sequence[int] = (-1,),
        final_norm: bool = True,
        drop_path_rate: float | Sequence[float] = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        arch = read_architecture(ResFormerArchitecture, ARCHITECTURES, arch, "ResFormer")
        super().__init__(arch, out_indices, frozen_stages, with_cp, init_cfg)
        dim, bias = arch.embed_dim, "full" if arch.qkv_bias else "none"
        self.patch_embed = PatchEmbed(arch.patch_size, arch.in_channels, dim)
        self.pos_embed = GlobalPosition(dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(
            TransformerBlock(
                dim,
                arch.num_heads,
                arch.mlp_ratio,
                drop_path=rate,
                norm_eps=arch.norm_eps,
                attn=LocalPositionAttention(dim, arch.num_heads, bias, arch.qk_scale),
            )
            for rate in drop_path_rates(drop_path_rate, arch.depth)
        )
        self.norm = nn.LayerNorm(dim, eps=arch.norm_eps) if final_norm else None
        initialise_linears(self)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.freeze()

    def position_table(self, grid: Grid) -> Tensor:
        """The encoding ``(1, h * w, D)`` of a grid."""
        return self.pos_embed(grid)

    def no_weight_decay(self) -> set[str]:
        """Class token and the convolutions of positions, as officially."""
        return {n for n, _ in self.named_parameters() if n.startswith(("cls", "pos")) or ".get_v." in n}
