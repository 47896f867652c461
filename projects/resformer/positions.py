"""ResFormer's positions for any plain vision transformer of the registry.

Tian et al., "ResFormer: Scaling ViTs with Multi-Resolution Training", CVPR 2023 (arXiv 2212.00776), section
3.3. The modules are dense3d's own, those of its ``ResFormer``; here they are put into other networks.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from dense3d.backbones import IARed2, ResFormer
from dense3d.backbones.plain import PlainBackbone
from dense3d.errors import ConfigError
from dense3d.layers.image_position import GlobalPosition, LocalPosition
from dense3d.registry import MODELS


@MODELS.register_module(name="GlobalLocalPositions")
def with_image_positions(vit: dict[str, Any] | PlainBackbone) -> PlainBackbone:
    """Give a plain vision transformer positions that are functions of the image's size.

    The global one takes the place of the table of absolute positions. The local one joins every attention
    that has values (also gated ones, and retention); blocks of filters (SpectFormer, Hyena) see places by
    themselves and get none. Bicubic resizing is over: no part of the result belongs to a size, except what
    the attention or the filters of the network have of their own (relative and rotary positions stay).

    A DeiT with them is ResFormer, to the names of its weights. Files of the network without them do not fit
    any more: the paper trains from scratch.

    Args:
        vit: config of a plain backbone, or one that is built; it is changed.

    Raises:
        ConfigError: it is no plain vision transformer, drops tokens, or has the positions already.

    Example:
        >>> vit = dict(type="VisionTransformer", arch=dict(embed_dim=32, depth=1, num_heads=2))
        >>> sorted({name.split(".")[0] for name, _ in with_image_positions(vit).named_parameters()})
        ['blocks', 'cls_token', 'norm', 'patch_embed', 'pos_embed']
    """
    vit = vit if isinstance(vit, nn.Module) else MODELS.build(vit)
    _refuse_others(vit)
    del vit.pos_embed  # a parameter's name takes no module
    vit.pos_embed = GlobalPosition(vit.embed_dims)
    for block in vit.blocks:
        attention = getattr(block, "attn", getattr(block, "outer_attn", None))
        if hasattr(attention, "get_v"):
            attention.get_v = LocalPosition(attention.proj.in_features // attention.num_heads)
    vit.freeze()  # what frozen_stages and out_indices leave out, the new parts included
    return vit


def _refuse_others(vit: nn.Module) -> None:
    name = type(vit).__name__
    if not isinstance(vit, PlainBackbone):
        raise ConfigError(
            f"GlobalLocalPositions are for plain vision transformers, and {name} is none: take "
            "VisionTransformer, T2TViT, TNT, ConViT, ViR, HyenaViT or PlainSpectFormer"
        )
    if isinstance(vit, ResFormer):
        raise ConfigError("GlobalLocalPositions: a ResFormer has them by itself; name it as the backbone")
    if isinstance(vit, IARed2):
        raise ConfigError(
            "GlobalLocalPositions convolve a complete grid of patches, and IARed2 drops patches between its "
            "blocks: take the VisionTransformer of its arch"
        )
    if vit.embed_dims % 4:
        raise ConfigError(
            f"GlobalLocalPositions: embed_dim={vit.embed_dims} of the {name}: give a multiple of 4 for the "
            "sines"
        )
