"""Encoders of the two senses before they meet: layers of 3DETR, and what gives tokens of a cloud.

PiMAE (Chen et al., CVPR 2023) puts layers of 3DETR on Point-MAE's tokens; Point-MAE's own transformer and
PointNet++ may take their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.point_attention import EncoderLayer
from dense3d.pointcloud.grouping import Patches
from dense3d.pointcloud.patch_embedding import PatchEmbedding
from dense3d.pointcloud.pointnet2 import PointNet2
from dense3d.pointcloud.transformer import PointTransformer, position_embedding
from dense3d.pretraining.gaussian2scene.parts import part
from dense3d.registry import MODELS

FLOOR = 0.0099  # quantile of heights that PointNet++ counts heights from, as VoteNet does


class PointTokens(NamedTuple):
    """Tokens ``(B, V, D)`` of what is visible of clouds, and the points ``(B, V, 3)`` that they stand for."""

    features: Tensor
    positions: Tensor


class EncoderLayers(nn.Module):
    """Layers of 3DETR's encoder one after the other, without a last norm.

    Example:
        >>> EncoderLayers(8, depth=2, num_heads=2)(torch.zeros(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def __init__(
        self, dim: int, depth: int = 3, num_heads: int = 4, feedforward_dim: int = 128, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(dim, num_heads, feedforward_dim, dropout, "relu") for _ in range(depth)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, N, dim)``."""
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


@MODELS.register_module()
class PatchLayers(nn.Module):
    """PiMAE's encoder of points: Point-MAE's tokens, positions added once, layers of 3DETR.

    Args:
        dim: channels of a token.
        **layers: arguments of :class:`EncoderLayers`.
    """

    def __init__(self, dim: int, **layers: Any) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(dim)
        self.pos_embed = position_embedding(dim)
        self.layers = EncoderLayers(dim, **layers).layers

    def tokens(self, patches: Patches, visible: Tensor, modality: Tensor) -> PointTokens:
        """Tokens of visible patches before the first layer."""
        centres = chosen(patches.centres, visible)
        tokens = self.patch_embed(patches.points, visible)
        return PointTokens(tokens + self.pos_embed(centres) + modality, centres)

    def forward(
        self,
        points: Tensor,
        patches: Patches,
        visible: Tensor,
        modality: Tensor,
        lengths: Tensor | None = None,
    ) -> PointTokens:
        """Encoded tokens of visible patches.

        Args:
            points: ``(B, N, 3)``, of which only PointNet++ takes notice.
            patches: G of each cloud.
            visible: ``(B, G)`` bool, equally many of each cloud.
            modality: ``(1, 1, D)``, added to all tokens.
            lengths: ``(B,)``, how many first points of each cloud count; all unless given.
        """
        tokens, centres = self.tokens(patches, visible, modality)
        for layer in self.layers:
            tokens = layer(tokens)
        return PointTokens(tokens, centres)


class PointMAEEncoder(BaseModule):
    """Point-MAE's transformer on visible patches, which gets positions before every block."""

    def __init__(self, dim: int, **settings: Any) -> None:
        super().__init__()
        self.network = PointTransformer(**settings)
        if self.network.cls_token is not None:
            raise ConfigError("the encoder of points has no class token: leave class_token out")
        self.projection = _projection(self.network.embed_dim, dim)

    def forward(
        self,
        points: Tensor,
        patches: Patches,
        visible: Tensor,
        modality: Tensor,
        lengths: Tensor | None = None,
    ) -> PointTokens:
        """As :meth:`PatchLayers.forward`."""
        centres = chosen(patches.centres, visible)
        tokens, _ = self.network.encode(self.network.patch_embed(patches.points, visible), centres)
        return PointTokens(self.projection(tokens) + modality, centres)


class PointNet2Encoder(BaseModule):
    """PointNet++ on the points of visible patches: its seeds are the tokens, for detectors that have it.

    With one input channel a point gets its height above the floor, as VoteNet gives it.
    """

    def __init__(self, dim: int, **settings: Any) -> None:
        super().__init__()
        self.network = PointNet2(**settings)
        self.has_height = settings.get("in_channels", 1) == 1
        if settings.get("in_channels", 1) not in (0, 1):
            raise ConfigError(
                f"in_channels={settings['in_channels']} of the encoder of points: scenes give it coordinates "
                "alone (0), or heights as well (1)"
            )
        self.projection = _projection(self.network.out_channels, dim)

    def forward(
        self,
        points: Tensor,
        patches: Patches,
        visible: Tensor,
        modality: Tensor,
        lengths: Tensor | None = None,
    ) -> PointTokens:
        """As :meth:`PatchLayers.forward`; there are as many tokens as seeds."""
        seen = chosen(patches.points + patches.centres[:, :, None], visible).flatten(1, 2)  # (B, V * K, 3)
        heights = None
        if self.has_height:
            floor = _floor(points[..., 2].float(), lengths)
            heights = seen[..., 2:] - floor[:, None, None]
        seeds = self.network.seeds(seen, heights)
        return PointTokens(self.projection(seeds.features) + modality, seeds.points)


ENCODERS = {"PatchLayers": PatchLayers, "PointTransformer": PointMAEEncoder, "PointNet2": PointNet2Encoder}


def build_point_encoder(config: dict[str, Any], dim: int, num_groups: int, group_size: int) -> nn.Module:
    """The encoder of points that a config asks for.

    Args:
        config: ``type`` ``"PatchLayers"`` (unless given), ``"PointTransformer"`` or ``"PointNet2"``, and its
            arguments.
        dim: D, channels of the tokens.
        num_groups, group_size: G and K.

    Raises:
        ConfigError: another type.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"point_encoder={config!r}: give a dict of settings")
    settings = dict(config)
    kind = settings.pop("type", "PatchLayers")
    if kind not in ENCODERS:
        raise ConfigError(f"point_encoder of type {kind!r}: use one of {', '.join(map(repr, ENCODERS))}")
    if kind == "PointTransformer":
        settings |= dict(num_groups=num_groups, group_size=group_size)
    layers = {"PatchLayers": partial(EncoderLayers, dim), "PointTransformer": PointTransformer}
    return part(ENCODERS[kind], "point_encoder", settings, dim, of=layers.get(kind, PointNet2))


def chosen(values: Tensor, mask: Tensor) -> Tensor:
    """Of values ``(B, G, ...)`` those where ``mask`` ``(B, G)`` is true, equally many of each sample."""
    return values[mask].unflatten(0, (len(values), -1))


def _floor(z: Tensor, lengths: Tensor | None) -> Tensor:
    """The height ``(B,)`` of the floor of clouds with heights ``(B, N)``, padding left out."""
    if lengths is None:
        return z.quantile(FLOOR, dim=1)
    padding = torch.arange(z.shape[1], device=z.device) >= lengths.to(z.device)[:, None]
    return z.masked_fill(padding, torch.nan).nanquantile(FLOOR, dim=1)


def _projection(width: int, dim: int) -> nn.Module:
    return nn.Identity() if width == dim else nn.Linear(width, dim)
