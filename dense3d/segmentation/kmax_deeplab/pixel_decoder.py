"""Pixel decoder of kMaX-DeepLab: residual blocks with axial attention or convolutions, coarse to fine.

Axial attention has relative positions of queries, keys and values: Wang et al., "Axial-DeepLab", ECCV 2020
(arXiv:2003.07853), as deeplab2 and kMaX-DeepLab use it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.transformer_block import DropPath
from dense3d.segmentation.kmax_deeplab.layers import ConvNorm, batch_norm, folded, resize, truncated_normal_

# Positions up to 254 apart have vectors of their own; farther ones share the last.
REACH = 254
BLOCKS = ("axial", "bottleneck")
EXPANSION = 4


class AxisAttention(nn.Module):
    """Every pixel attends to the pixels of its column (or row).

    The logits are sums of three terms, each with a batch norm instead of a scale::

        logit[l, m] = BN(q_l . k_m) + BN(q_l . Rq[m - l]) + BN(k_m . Rk[m - l])
        out[l] = BN(sum_m w[l, m] v_m) + BN(sum_m w[l, m] Rv[m - l])

    The position of the values depends on both l and m, so that the weights are needed themselves and a fused
    softmax attention cannot serve. In evaluation mode the norms are folded into what they act on: three maps
    of logits are then added without being stacked.

    Args:
        in_channels: channels of the map.
        key_channels: of queries and of keys, all heads together.
        value_channels: of values, all heads together.
        num_heads: heads.
        axis: 2 for columns (attention along the height), 3 for rows.

    Shape:
        ``(B, in_channels, H, W)`` to ``(B, value_channels, H, W)``.

    Example:
        >>> AxisAttention(8, 8, 16, num_heads=4, axis=3)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 16, 5, 7])
    """

    def __init__(
        self, in_channels: int, key_channels: int, value_channels: int, num_heads: int = 8, axis: int = 2
    ) -> None:
        super().__init__()
        self.num_heads, self.axis = num_heads, axis
        self.split = (key_channels, key_channels, value_channels)
        self.qkv = nn.Conv2d(in_channels, sum(self.split), 1, bias=False)
        truncated_normal_(self.qkv.weight, in_channels**-0.5)
        self.norm_qkv = batch_norm(sum(self.split))
        self.norm_logits = batch_norm(3 * num_heads)
        self.norm_output = batch_norm(2 * value_channels)
        self.query_position = _table(key_channels // num_heads)
        self.key_position = _table(key_channels // num_heads)
        self.value_position = _table(value_channels // num_heads)

    def forward(self, x: Tensor) -> Tensor:
        """Attention along the axis."""
        query, key, value = self._lines(x)  # (B, P, M, L, d), P = lines across the axis
        index = relative_index(x.shape[self.axis], x.device)  # (L, L)
        logits = self._logits(query, key, self.query_position[index], self.key_position[index])
        weight = logits.float().softmax(-1).to(value.dtype)  # (B, P, M, L, L)
        content = weight @ value
        position = torch.einsum("bpmlk,lkd->bpmld", weight, self.value_position[index].to(value.dtype))
        return self._output(self._map(content), self._map(position))

    def _lines(self, x: Tensor) -> list[Tensor]:
        parts = self.norm_qkv(self.qkv(x)).split(self.split, dim=1)
        order = (0, 4, 1, 3, 2) if self.axis == 2 else (0, 3, 1, 4, 2)
        return [part.unflatten(1, (self.num_heads, -1)).permute(order) for part in parts]

    def _map(self, lines: Tensor) -> Tensor:
        """``(B, P, M, L, d)`` to ``(B, M * d, H, W)``."""
        order = (0, 2, 4, 3, 1) if self.axis == 2 else (0, 2, 4, 1, 3)
        return lines.permute(order).flatten(1, 2)

    def _logits(self, query: Tensor, key: Tensor, query_position: Tensor, key_position: Tensor) -> Tensor:
        if not self.norm_logits.training:
            # A constant added to all logits of a head does not change the softmax: the shifts drop out.
            scale = folded(self.norm_logits)[0].view(3, self.num_heads, 1, 1).to(query.dtype)
            logits = (query * scale[0]) @ key.transpose(-1, -2)
            logits = logits + torch.einsum("bpmld,lkd->bpmlk", query * scale[1], query_position)
            return logits + torch.einsum("bpmkd,lkd->bpmlk", key * scale[2], key_position)
        terms = (
            query @ key.transpose(-1, -2),
            torch.einsum("bpmld,lkd->bpmlk", query, query_position),
            torch.einsum("bpmkd,lkd->bpmlk", key, key_position),
        )
        stacked = self.norm_logits(torch.cat(terms, dim=2).flatten(0, 1))  # (B * P, 3 M, L, L)
        return stacked.unflatten(1, (3, self.num_heads)).sum(1).unflatten(0, query.shape[:2])

    def _output(self, content: Tensor, position: Tensor) -> Tensor:
        if not self.norm_output.training:
            scale, shift = (t.view(2, -1, 1, 1).to(content.dtype) for t in folded(self.norm_output))
            return torch.addcmul(shift.sum(0), content, scale[0]) + position * scale[1]
        return sum(self.norm_output(torch.cat((content, position), dim=1)).chunk(2, dim=1))


def _table(channels: int) -> nn.Parameter:
    return nn.Parameter(truncated_normal_(torch.empty(2 * REACH + 1, channels), 1.0))


def relative_index(length: int, device: torch.device | None = None) -> Tensor:
    """Row of a position table for every pair of places, ``(L, L)``: ``m - l`` from the table's middle.

    Example:
        >>> (relative_index(3) - REACH).tolist()
        [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]]
    """
    place = torch.arange(length, device=device)
    return (place[None] - place[:, None]).clamp(-REACH, REACH) + REACH


class AxialAttention(nn.Module):
    """Attention along the height, then along the width; keys have half the channels of values.

    Args:
        in_channels: channels of the map.
        key_channels: of queries and of keys.
        value_channels: of values and of the result.
        num_heads: heads.

    Shape:
        ``(B, in_channels, H, W)`` to ``(B, value_channels, H, W)``.

    Example:
        >>> AxialAttention(8, 8, 16, num_heads=4)(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 16, 5, 7])
    """

    def __init__(self, in_channels: int, key_channels: int, value_channels: int, num_heads: int = 8) -> None:
        super().__init__()
        self.height = AxisAttention(in_channels, key_channels, value_channels, num_heads, axis=2)
        self.width = AxisAttention(value_channels, key_channels, value_channels, num_heads, axis=3)

    def forward(self, x: Tensor) -> Tensor:
        """Attention along both axes."""
        return self.width(self.height(x))


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


class KMaXPixelDecoder(nn.Module):
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
        >>> decoder = KMaXPixelDecoder((32, 16), (8, 4), num_blocks=(1, 1), kinds=["bottleneck"] * 2)
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
