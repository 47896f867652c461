"""PoolFormer: transformer blocks that mix tokens by nothing but average pooling.

Yu et al., "MetaFormer Is Actually What You Need for Vision", CVPR 2022 (arXiv:2111.11418); official code:
sail-sg/poolformer. Its successors stand in :mod:`dense3d.backbones.metaformer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from torch import nn

from dense3d.backbones.embedded_stages import EmbeddedStages, Stage
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.map_head import NormedMapHead
from dense3d.layers.metaformer import MetaFormerBlock, mixer
from dense3d.optional import require
from dense3d.registry import MODELS

_SMALL, _MEDIUM = (64, 128, 320, 512), (96, 192, 384, 768)
# Released sizes.
ARCHITECTURES: dict[str, dict] = {
    "s12": dict(dims=_SMALL, depths=(2, 2, 6, 2), layer_scale=1e-5),
    "s24": dict(dims=_SMALL, depths=(4, 4, 12, 4), layer_scale=1e-5),
    "s36": dict(dims=_SMALL, depths=(6, 6, 18, 6), layer_scale=1e-6),
    "m36": dict(dims=_MEDIUM, depths=(6, 6, 18, 6), layer_scale=1e-6),
    "m48": dict(dims=_MEDIUM, depths=(8, 8, 24, 8), layer_scale=1e-6),
}
NORMS = ("group", "channel")
_KEYS = ("dims", "depths", "layer_scale", "mlp_ratios")


@MODELS.register_module()
class PoolFormer(EmbeddedStages):
    """PoolFormer, maps of strides 4, 8, 16, 32.

    Its norm is a group norm with one group: mean and variance over channels and pixels of an image. What an
    image is padded with, to the common size of a batch too, therefore changes its numbers.

    Args:
        arch: a released size (:data:`ARCHITECTURES`), or a dict with ``dims`` and ``depths``, four of each,
            and, where they are not 1e-5 and 4 each: ``layer_scale`` (None for none) and ``mlp_ratios``.
        pool_size: side of the neighbourhood of the pooling.
        norm: ``"group"``, or ``"channel"``, a layer norm of each pixel.
        output_norm: a norm of every returned map (``norm0`` ...), as in the official dense code. A file of
            its RetinaNet has none of the first map, which is not used there.
        drop_path_rate: rate of the last block; it grows linearly from 0.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see
            :class:`dense3d.backbones.staged.StagedBackbone`; the embedding before a stage belongs to it.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or norm, not four stages, a pooling without a middle.

    Example:
        >>> import torch
        >>> backbone = PoolFormer(dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1)), out_indices=(0, 2))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 24, 3, 4)]
    """

    converters = ("poolformer",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(arch=dict(dims=(16, 24, 32, 48), depths=(1, 1, 2, 1), layer_scale=0.1))
    }

    def __init__(
        self,
        arch: str | dict = "s12",
        pool_size: int = 3,
        norm: str = "group",
        output_norm: bool = True,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = sizes_of("PoolFormer", arch, ARCHITECTURES, _KEYS)
        self.depths = tuple(sizes["depths"])
        super().__init__(sizes["dims"], 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        if norm not in NORMS:
            raise ConfigError(f"PoolFormer: norm={norm!r}, but there are {', '.join(NORMS)}")
        if pool_size % 2 == 0:
            raise ConfigError(f"PoolFormer: pool_size={pool_size}, but only odd squares have a middle")
        self.norm = norm
        mlp = require("timm.layers", "PoolFormer").Mlp
        ratios, scale = sizes.get("mlp_ratios", (4.0,) * 4), sizes.get("layer_scale", 1e-5)
        last = max(sum(self.depths) - 1, 1)
        rates = iter([drop_path_rate * i / last for i in range(sum(self.depths))])
        self.stages = nn.ModuleList()
        for index, (before, dim) in enumerate(pairwise((in_channels, *self.channels))):
            blocks = [
                MetaFormerBlock(
                    dim,
                    mixer("pool", dim, pool_size),
                    mlp(dim, int(dim * ratios[index]), use_conv=True),
                    (self.map_norm(dim), self.map_norm(dim)),
                    layer_scale=scale,
                    drop_path=next(rates),
                )
                for _ in range(self.depths[index])
            ]
            embed = nn.Conv2d(before, dim, 7, 4, 2) if index == 0 else nn.Conv2d(before, dim, 3, 2, 1)
            self.stages.append(Stage(embed, blocks))
            for block in blocks:
                for conv in (block.mlp.fc1, block.mlp.fc2):
                    nn.init.trunc_normal_(conv.weight, std=0.02)
                    nn.init.zeros_(conv.bias)
        if output_norm:
            for index, dim in zip(self.out_indices, self.out_channels):
                self.add_module(f"norm{index}", self.map_norm(dim))
        self.freeze()

    def map_norm(self, dim: int) -> nn.Module:
        """A norm of maps of ``dim`` channels."""
        return nn.GroupNorm(1, dim) if self.norm == "group" else ChannelLayerNorm(dim, eps=1e-5)

    def class_head(self, num_classes: int) -> nn.Module:
        """Norm of the map, then the mean over its pixels, linear layer."""
        return NormedMapHead(self.map_norm(self.channels[-1]), self.channels[-1], num_classes)


def sizes_of(name: str, arch: str | dict, known: dict[str, dict], keys: Sequence[str]) -> dict:
    """A released size by its name, or a checked dict of a network of four stages.

    Args:
        name: of the family, for messages.
        arch: name or dict.
        known: released sizes.
        keys: what a dict may have; ``dims`` and ``depths`` it must.

    Raises:
        ConfigError: there is no such size, or the dict does not fit.

    Example:
        >>> sizes_of("PoolFormer", "s12", ARCHITECTURES, _KEYS)["depths"]
        (2, 2, 6, 2)
    """
    if isinstance(arch, str):
        if arch not in known:
            raise ConfigError(
                f"{name} has no size {arch!r}{did_you_mean(arch, known)} (known: {', '.join(known)})"
            )
        return known[arch]
    for key in arch:
        if key not in keys:
            raise ConfigError(
                f"{name}: arch has no key {key!r}{did_you_mean(key, keys)} (known: {', '.join(keys)})"
            )
    if not {"dims", "depths"} <= set(arch):
        raise ConfigError(f"{name}: arch needs dims and depths, but has {', '.join(sorted(arch))}")
    for key, value in arch.items():
        if isinstance(value, (tuple, list)) and len(value) != 4:
            raise ConfigError(f"{name} has four stages, but arch has {len(value)} {key}")
    return arch
