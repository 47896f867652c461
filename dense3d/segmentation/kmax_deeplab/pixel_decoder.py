"""Pixel decoder of kMaX-DeepLab: residual blocks with axial attention or convolutions, coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.transformer_block import DropPath
from dense3d.segmentation.kmax_deeplab.axial_attention import AxialAttention
from dense3d.segmentation.kmax_deeplab.layers import ConvNorm, resize

BLOCKS = ("axial", "bottleneck")
EXPANSION = 4


class ResidualBlock(nn.Module):
    """Activated first, residual, not activated after: 1x1, axial attention or 3x3, 1x1.

    Args:
        in_channels: channels of the input.
        base: b; the block gives 4 b channels, an axial one attends with keys of b and values of 2 b channels,
            a bottleneck has b channels inside.
        kind: ``"axial"`` or ``"bottleneck"``.
        drop_path: probability of leaving the branch out.

    Shape:
        ``(B, in_channels, H, W)`` to ``(B, 4 base, H, W)``.

    Raises:
        ConfigError: ``kind`` is neither.

    Example:
        >>> import torch
        >>> ResidualBlock(32, 8, "bottleneck")(torch.zeros(1, 32, 3, 5)).shape
        torch.Size([1, 32, 3, 5])
    """

    def __init__(self, in_channels: int, base: int, kind: str, drop_path: float = 0.0) -> None:
        super().__init__()
        if kind not in BLOCKS:
            raise ConfigError(f"kMaX-DeepLab has no block {kind!r}; choose {' or '.join(map(repr, BLOCKS))}")
        out_channels = EXPANSION * base
        width = 2 * base if kind == "axial" else base
        self.conv1 = ConvNorm(in_channels, width)
        if kind == "axial":
            self.attention = AxialAttention(width, base, width)
        else:
            self.conv2 = ConvNorm(width, width, kernel_size=3)
        self.conv3 = ConvNorm(width, out_channels, act=False, gamma=0.0)
        self.shortcut = (
            None if in_channels == out_channels else ConvNorm(in_channels, out_channels, act=False)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of shortcut and branch."""
        x = F.gelu(x)
        branch = self.conv1(x)
        branch = F.gelu(self.attention(branch)) if hasattr(self, "attention") else self.conv2(branch)
        return self.drop_path(self.conv3(branch)) + (x if self.shortcut is None else self.shortcut(x))


class ResizedFuse(nn.Module):
    """Sum of a coarse map, resized, and a fine one, both brought to the same channels.

    Args:
        low_channels: channels of the coarse map.
        high_channels: channels of the fine map.
        out_channels: channels of the sum; a map that has them already is taken as it is.

    Shape:
        ``(B, low_channels, h, w)`` and ``(B, high_channels, H, W)`` to ``(B, out_channels, H, W)``.

    Example:
        >>> import torch
        >>> ResizedFuse(8, 6, 4)(torch.zeros(1, 8, 3, 3), torch.zeros(1, 6, 5, 5)).shape
        torch.Size([1, 4, 5, 5])
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__()
        self.low, self.high = (
            None if channels == out_channels else ConvNorm(channels, out_channels, act=False)
            for channels in (low_channels, high_channels)
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """The sum at the size of ``high``."""
        low = low if self.low is None else self.low(F.gelu(low))
        high = high if self.high is None else self.high(F.gelu(high))
        return resize(low, high.shape[-2:]) + high


class PixelDecoder(nn.Module):
    """Stages of residual blocks, from the coarsest map of a backbone to the finest.

    Args:
        in_channels: channels of the backbone's maps, in the order in which they are used.
        base_channels: base of each stage's blocks.
        num_blocks: blocks of each stage.
        kinds: kind of each stage's blocks.
        drop_path: of all blocks.

    Raises:
        ConfigError: the four do not have the same length.

    Example:
        >>> import torch
        >>> decoder = PixelDecoder((32, 16), (8, 4), num_blocks=(1, 1), kinds=["bottleneck"] * 2)
        >>> [tuple(m.shape) for m in decoder([torch.zeros(1, 32, 3, 4), torch.zeros(1, 16, 5, 7)])]
        [(1, 32, 3, 4), (1, 16, 5, 7)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        base_channels: Sequence[int] = (512, 256, 128, 64),
        num_blocks: Sequence[int] = (1, 5, 1, 1),
        kinds: Sequence[str] = ("axial", "axial", "bottleneck", "bottleneck"),
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        lengths = {len(in_channels), len(base_channels), len(num_blocks), len(kinds)}
        if len(lengths) > 1:
            raise ConfigError(
                f"the pixel decoder has {len(base_channels)} base_channels, {len(num_blocks)} num_blocks and "
                f"{len(kinds)} kinds for {len(in_channels)} maps of the backbone: give one of each a map"
            )
        self.in_norms = nn.ModuleList(ChannelLayerNorm(channels) for channels in in_channels)
        self.out_channels = tuple(EXPANSION * base for base in base_channels)
        self.stages, self.fuses = nn.ModuleList(), nn.ModuleList()
        channels = in_channels[0]
        for i, (base, number, kind) in enumerate(zip(base_channels, num_blocks, kinds)):
            if i > 0:
                self.fuses.append(ResizedFuse(channels, in_channels[i], base))
                channels = base
            widths = [channels] + [EXPANSION * base] * (number - 1)
            self.stages.append(nn.Sequential(*(ResidualBlock(c, base, kind, drop_path) for c in widths)))
            channels = EXPANSION * base

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """One map ``(B, 4 base_channels[i], h, w)`` a stage, not activated.

        Args:
            features: ``(B, in_channels[i], h, w)`` from coarse to fine.

        Raises:
            DataError: there are more or fewer maps than stages.
        """
        if len(features) != len(self.stages):
            raise DataError(f"the pixel decoder takes {len(self.stages)} maps, not {len(features)}")
        outputs = []
        x = self.in_norms[0](features[0])
        for i, stage in enumerate(self.stages):
            if i > 0:
                x = self.fuses[i - 1](x, self.in_norms[i](features[i]))
            x = stage(x)
            outputs.append(x)
        return outputs
