"""HUNet: a U-Net on sparse voxels, with attention along space-filling curves on its coarse levels.

Hermosilla et al., "Masked Scene Modeling: Narrowing the Gap Between Supervised and Self-Supervised Learning
in 3D Scene Understanding", CVPR 2025 (phermosilla/msm, ``MSM3D_Encoder``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.ops.curves import CURVES
from dense3d.pointcloud.hunet.blocks import BlockStyle, Stage, rising_rates
from dense3d.pointcloud.sparse.convolution import DownConv, UpConv
from dense3d.pointcloud.sparse.levels import SparsePyramid
from dense3d.registry import MODELS

STYLES = {"transformer++": True, "transformer": False}
SHUFFLES = ("train", "always", "never")
_AXES = ("xyz", "xzy", "yxz", "yzx", "zxy", "zyx")


@MODELS.register_module()
class HUNet(BaseModule):
    """Backbone of scenes of voxels: a feature map on each level of a pyramid. All lists are finest first.

    The defaults are those of the released large model, whose lists for the decoder are coarsest first.

    Args:
        in_channels: of the voxels' features.
        channels, convs, attentions, num_heads, windows: of the encoder, one entry a level: channels, residual
            convolution blocks, attention blocks, their heads, and the width of their band.
        decoder_channels, decoder_convs, decoder_attentions, decoder_num_heads, decoder_windows: the same of
            the decoder; its coarsest channels are the encoder's.
        final_channels: of a linear layer on the finest map; 0 for none, as released. What it gives then comes
            first in the list of maps, see ``out_levels``.
        block: ``"transformer++"``, RMS norms, gated feed-forward networks and no biases in blocks; or
            ``"transformer"``, layer norms, plain feed-forward networks, biases.
        curves: taken in turn by consecutive attention blocks of a level: an order of the axes and
            ``z-order`` or ``hilbert``.
        shuffle_curves: when their order is drawn anew in every pass: ``"train"`` only, ``"never"``, or
            ``"always"``, as the released code does at inference too, so that its features vary.
        drop_path: stochastic depth by scene: rises from 0 to this over the encoder's blocks, and falls again
            over the decoder's.
        attn_drop: dropout of the attention's weights while training. The released code leaves 0.1 active at
            inference too.
        init_cfg: ``dict(type="Pretrained", checkpoint=FILE)`` for weights of masked scene modelling, of a
            model that has a HUNet, or official ones; ``prefix="teacher."`` takes those behind that name.
            Else initial weights are torch's, those of the residual branches' scales 0.1.

    Attributes:
        encoder_channels: channels of each map that :meth:`encode` gives.
        out_channels: channels of each map that :meth:`forward` gives.
        out_levels: the level of the pyramid that each is on.
        depth: levels of the pyramid.

    Raises:
        ConfigError: lists of different lengths, heads that do not divide channels, an unknown word.

    Example:
        >>> from dense3d.pointcloud.sparse import build_pyramid
        >>> network = HUNet(3, channels=(8, 16), convs=(1, 1), attentions=(0, 1), num_heads=(1, 2),
        ...     windows=(32, 32), decoder_channels=(8, 16), decoder_convs=(1, 1), decoder_attentions=(0, 1),
        ...     decoder_num_heads=(1, 2), decoder_windows=(32, 32))
        >>> pyramid = build_pyramid(torch.tensor([[0, 0, 0], [0, 0, 1], [9, 9, 9]]), depth=network.depth)
        >>> [tuple(each.shape) for each in network(pyramid, torch.rand(3, 3))]
        [(3, 8), (2, 16)]
    """

    def __init__(
        self,
        in_channels: int = 6,
        channels: Sequence[int] = (32, 64, 128, 256, 384),
        convs: Sequence[int] = (2, 2, 2, 2, 2),
        attentions: Sequence[int] = (0, 0, 0, 2, 2),
        num_heads: Sequence[int] = (4, 8, 16, 32, 48),
        windows: Sequence[int] = (1024, 1024, 1024, 1024, 1024),
        decoder_channels: Sequence[int] = (64, 96, 128, 256, 384),
        decoder_convs: Sequence[int] = (2, 2, 2, 2, 2),
        decoder_attentions: Sequence[int] = (0, 0, 0, 2, 2),
        decoder_num_heads: Sequence[int] = (4, 8, 16, 32, 48),
        decoder_windows: Sequence[int] = (1024, 1024, 1024, 1024, 1024),
        final_channels: int = 0,
        block: str = "transformer++",
        curves: Sequence[str] = BlockStyle.curves,
        shuffle_curves: str = "train",
        drop_path: float = 0.2,
        attn_drop: float = 0.1,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        style = _checked_style(block, curves, shuffle_curves, attn_drop)
        encoder = dict(
            channels=channels, convs=convs, attentions=attentions, num_heads=num_heads, windows=windows
        )
        decoder = dict(
            decoder_channels=decoder_channels,
            decoder_convs=decoder_convs,
            decoder_attentions=decoder_attentions,
            decoder_num_heads=decoder_num_heads,
            decoder_windows=decoder_windows,
        )
        _check_lengths(encoder | decoder)
        if decoder_channels[-1] != channels[-1]:
            raise ConfigError(
                f"the decoder starts from the encoder's coarsest map: decoder_channels[-1]="
                f"{decoder_channels[-1]} must be channels[-1]={channels[-1]}"
            )
        self.in_channels, self.depth = in_channels, len(channels)
        self.encoder_channels = tuple(channels)
        self.out_channels = (*((final_channels,) if final_channels else ()), *decoder_channels)
        self.out_levels = (*((0,) if final_channels else ()), *range(self.depth))

        self.stem = nn.Sequential(nn.Linear(in_channels, channels[0]), style.norm(channels[0]))
        self.encoder = _stages(style, drop_path, *encoder.values())
        self.down = nn.ModuleList(DownConv(*pair) for pair in pairwise(channels))
        self.down_norm = nn.ModuleList(style.norm(dim) for dim in channels[1:])

        self.bottleneck_norm = style.norm(channels[-1])
        self.decoder = _stages(style, drop_path, *decoder.values(), falling=True)
        finer = list(zip(channels, decoder_channels, decoder_channels[1:]))  # of all levels but the coarsest
        self.up_norm = nn.ModuleList(style.norm(coarse) for _, _, coarse in finer)
        self.up = nn.ModuleList(UpConv(coarse, fine) for _, fine, coarse in finer)
        self.up_scale = nn.ParameterList(torch.ones(fine) for _, fine, _ in finer)
        self.skip = nn.ModuleList(
            nn.Sequential(style.norm(skipped), nn.Linear(skipped, fine)) for skipped, fine, _ in finer
        )
        self.final = nn.Linear(decoder_channels[0], final_channels) if final_channels else None

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``, if there is one."""
        if self.init_cfg and not self.is_init:
            from dense3d.pointcloud.hunet.loading import load_of_init_cfg

            load_of_init_cfg(self, self.init_cfg)
        self._is_init = True

    def encode(self, pyramid: SparsePyramid, features: Tensor) -> list[Tensor]:
        """Maps of the encoder ``(V_l, channels[l])``.

        Args:
            pyramid: of :attr:`depth` levels.
            features: ``(V_0, in_channels)`` of the finest voxels.

        Raises:
            DataError: another depth, or features that are not one row a voxel.
        """
        self._check(pyramid, features)
        x, maps = self.stem(features), []
        for index, stage in enumerate(self.encoder):
            if index > 0:
                x = self.down_norm[index - 1](self.down[index - 1](x, pyramid.halvings[index - 1]))
            x = stage(x, pyramid[index])
            maps.append(x)
        return maps

    def decode(self, pyramid: SparsePyramid, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps of the decoder ``(V_l, decoder_channels[l])`` from those of the encoder, and what the final
        layer gives before them if there is one."""
        x = self.bottleneck_norm(maps[-1])
        decoded = []
        for index in reversed(range(self.depth)):
            if index < self.depth - 1:
                up = self.up[index](self.up_norm[index](x), pyramid.halvings[index])
                x = self.up_scale[index] * up + self.skip[index](maps[index])
            x = self.decoder[index](x, pyramid[index])
            decoded.insert(0, x)
        return decoded if self.final is None else [self.final(x), *decoded]

    def forward(self, pyramid: SparsePyramid, features: Tensor) -> list[Tensor]:
        """Maps ``(V_l, out_channels[i])`` of voxels with features ``(V_0, in_channels)``."""
        return self.decode(pyramid, self.encode(pyramid, features))

    def _check(self, pyramid: SparsePyramid, features: Tensor) -> None:
        if len(pyramid) != self.depth:
            raise DataError(
                f"this network has {self.depth} levels and the pyramid {len(pyramid)}: build_pyramid(..., "
                f"depth={self.depth})"
            )
        if features.shape != (len(pyramid[0]), self.in_channels):
            raise DataError(
                f"{len(pyramid[0])} voxels have features ({len(pyramid[0])}, {self.in_channels}) for this "
                f"network, not {tuple(features.shape)}"
            )


def _stages(
    style: BlockStyle,
    drop_path: float,
    channels: Sequence[int],
    convs: Sequence[int],
    attentions: Sequence[int],
    num_heads: Sequence[int],
    windows: Sequence[int],
    falling: bool = False,
) -> nn.ModuleList:
    """A stage a level. Drop-path rates rise towards the coarsest one; within a stage they fall from block to
    block where blocks run from the coarsest to the finest."""
    rates = rising_rates(drop_path, [a + b for a, b in zip(convs, attentions)])
    ramps = [ramp[::-1] for ramp in rates] if falling else rates
    levels = zip(channels, convs, attentions, num_heads, windows, ramps)
    return nn.ModuleList(Stage(*sizes, style, ramp) for *sizes, ramp in levels)


def _checked_style(block: str, curves: Sequence[str], shuffle: str, attn_drop: float) -> BlockStyle:
    if block not in STYLES:
        raise ConfigError(f"block={block!r} of a HUNet: use {' or '.join(map(repr, STYLES))}")
    if shuffle not in SHUFFLES:
        raise ConfigError(f"shuffle_curves={shuffle!r} of a HUNet: use {', '.join(map(repr, SHUFFLES))}")
    if not 0 <= attn_drop < 1:
        raise ConfigError(f"attn_drop={attn_drop!r} of a HUNet: give a probability from 0 to below 1")
    known = [f"{axes}_{kind}" for axes in _AXES for kind in CURVES]
    wrong = [curve for curve in curves if curve not in known]
    if wrong or not curves:
        raise ConfigError(
            f"curves={list(curves)!r} of a HUNet: name an order of the axes and z-order or hilbert, such as "
            "'yxz_hilbert'"
        )
    return BlockStyle(STYLES[block], attn_drop, tuple(curves), shuffle)


def _check_lengths(lists: dict[str, Sequence[int]]) -> None:
    """All lists have an entry for each level."""
    length = len(lists["channels"])
    for name, values in lists.items():
        if len(values) != length or length < 1:
            raise ConfigError(
                f"{name}={list(values)!r} of a HUNet must have {length} entries, one a level, as channels has"
            )
