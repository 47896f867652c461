"""ResFormer: positions as functions of the image's size, for networks that see many resolutions.

Tian et al., "ResFormer: Scaling ViTs with Multi-Resolution Training", CVPR 2023, arXiv 2212.00776
(ruitian12/resformer). Official checkpoints: ``dense3d convert resformer``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from dense3d.backbones.plain import (
    PlainArchitecture,
    PlainBackbone,
    drop_path_rates,
    initialise_linears,
    read_architecture,
)
from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention
from dense3d.layers.image_position import GlobalPosition, LocalPosition
from dense3d.layers.patch_embed import PatchEmbed
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
                attn=SelfAttention(dim, arch.num_heads, bias, qk_scale=arch.qk_scale),
            )
            for rate in drop_path_rates(drop_path_rate, arch.depth)
        )
        for block in self.blocks:
            block.attn.get_v = LocalPosition(dim // arch.num_heads)
        self.norm = nn.LayerNorm(dim, eps=arch.norm_eps) if final_norm else None
        initialise_linears(self)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.freeze()
