"""ViR: a plain ViT with retention, over the patches in row-major order and the class token behind them.

Hatamizadeh et al., "ViR: Towards Efficient Vision Retention Backbones", arXiv 2310.19731; the code is that of
the anonymous review release (anom63931/ViR). Its layout: ``dense3d convert vir``; no weights are released.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dense3d.backbones.plain import (
    PlainBackbone,
    TableArchitecture,
    drop_path_rates,
    initialise_linears,
    read_architecture,
)
from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid, PatchEmbed, resize_position_table
from dense3d.layers.retention import Retention
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS


@dataclass(frozen=True)
class ViRArchitecture(TableArchitecture):
    """What decides the weights of a ViR, beside what all plain architectures have.

    Attributes:
        layer_scale: initial factor of the residual branches; None for branches without one.
    """

    layer_scale: float | None = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.qkv_bias or self.qk_scale is not None:
            raise ConfigError("a ViR has biases of queries, keys and values, and the usual qk_scale of None")


_LARGE = dict(embed_dim=1024, depth=24, num_heads=16)
ARCHITECTURES: dict[str, dict] = {
    "small_patch16": dict(embed_dim=384, depth=12, num_heads=6),
    "base_patch16": dict(embed_dim=768, depth=12, num_heads=12),
    "large_patch16": _LARGE,
    "large_patch14": dict(_LARGE, patch_size=14),
}


@MODELS.register_module()
class ViR(PlainBackbone):
    """ViR as a dense backbone: one map, or several; pyramids come from adapters.

    Args:
        arch: ``"small_patch16"``, ``"base_patch16"``, ``"large_patch16"``, ``"large_patch14"``, or a dict
            with ``name`` and what differs from it, or all attributes of :class:`ViRArchitecture`.
        form: how retention is computed, see :class:`dense3d.layers.retention.Retention`. ``"softmax"`` is the
            published network. ``"parallel"``, ``"chunkwise"`` (linear in the number of patches) and
            ``"recurrent"`` are one network without the softmax, to which weights of the first do not carry
            over.
        out_indices: blocks whose tokens become maps, ascending; -1 is the last. Blocks after them do not run.
        final_norm: whether maps go through the final norm.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0 (official: 0.2).
        frozen_stages: -1 freezes nothing, 0 the embedding, k also the first k blocks, ``depth`` all.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads official weights
            or ours.

    Shape:
        images ``(B, in_channels, H, W)``, normalised RGB (official: mean and deviation 127.5), H, W >=
        ``patch_size`` -> tuple of ``(B, D, ceil(H / patch_size), ceil(W / patch_size))``. The table of
        positions is resized (bicubic, antialiased). Tokens stand with the class token in front, as in all
        plain backbones; it is the last that retention reads.

    Raises:
        ConfigError: an argument does not fit the architecture, or there is no such form.
        DataError: an image is smaller than a patch, or has another number of channels.

    Example:
        >>> vit = ViR(dict(name="small_patch16", depth=2), out_indices=(0, 1))
        >>> [tuple(f.shape) for f in vit(torch.zeros(1, 3, 45, 60))]
        [(1, 384, 3, 4), (1, 384, 3, 4)]
    """

    converters = ("vir",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        form: dict(
            arch=dict(embed_dim=32, depth=4, num_heads=2, pretrain_size=64),
            form=form,
            out_indices=(0, 1, 2, 3),
        )
        for form in ("softmax", "chunkwise")
    }

    def __init__(
        self,
        arch: str | dict | ViRArchitecture,
        form: str = "softmax",
        out_indices: Sequence[int] = (-1,),
        final_norm: bool = True,
        drop_path_rate: float | Sequence[float] = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        arch = read_architecture(ViRArchitecture, ARCHITECTURES, arch, "ViR")
        super().__init__(arch, out_indices, frozen_stages, with_cp, init_cfg)
        dim = arch.embed_dim
        self.patch_embed = PatchEmbed(arch.patch_size, arch.in_channels, dim)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 1e-6)
        self.pos_embed = nn.Parameter(torch.randn(1, math.prod(arch.table_grid), dim) * 0.02)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                dim,
                arch.num_heads,
                arch.mlp_ratio,
                layer_scale=arch.layer_scale,
                drop_path=rate,
                norm_eps=arch.norm_eps,
                attn=Retention(dim, arch.num_heads, form),
            )
            for rate in drop_path_rates(drop_path_rate, arch.depth)
        )
        self.norm = nn.LayerNorm(dim, eps=arch.norm_eps) if final_norm else None
        initialise_linears(self)
        self.freeze()

    def resized_table(self, grid: Grid) -> Tensor:
        """The position table of another grid, ``(1, h * w, D)``: bicubic, antialiased."""
        return resize_position_table(self.pos_embed, self.arch.table_grid, grid, antialias=True)

    def run_blocks(self, tokens: Tensor, grid: Grid, start: int = 0, stop: int | None = None) -> Tensor:
        """Pass tokens ``(B, 1 + h * w, D)`` through ``blocks[start:stop]``, where the class token is last."""
        return super().run_blocks(tokens.roll(-1, dims=1), grid, start, stop).roll(1, dims=1)

    def run_block(self, index: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Pass tokens with the class token behind the patches through one block."""
        return self.recomputed(self.blocks[index], tokens, grid)
