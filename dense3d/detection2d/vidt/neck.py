"""What lies between ViDT's body and its decoder: projections to one width, and ViDT+'s fusion of the levels.

Song et al., "ViDT", ICLR 2022 (arXiv 2110.03921), and "An Extendable, Efficient and Effective
Transformer-based Object Detector" (ViDT+, arXiv 2204.07962), section 4.1: efficient pyramid feature fusion.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32  # of the group norms


def projection(in_channels: int, out_channels: int) -> nn.Sequential:
    """1x1 convolution and group norm; Xavier-uniform weights and no bias at first.

    Example:
        >>> import torch
        >>> projection(8, 64)(torch.rand(1, 8, 2, 3)).shape
        torch.Size([1, 64, 2, 3])
    """
    convolution = nn.Conv2d(in_channels, out_channels, 1)
    nn.init.xavier_uniform_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, out_channels))


class TokenProjection(nn.Sequential):
    """:func:`projection` of a set of tokens; the norm's groups run over all tokens of an image.

    Shape:
        ``(B, n, in_channels)`` to ``(B, n, out_channels)``.

    Example:
        >>> import torch
        >>> TokenProjection(8, 64)(torch.rand(1, 5, 8)).shape
        torch.Size([1, 5, 64])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(*projection(in_channels, out_channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """The projected tokens."""
        return super().forward(tokens.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)


class LevelProjection(nn.ModuleList):
    """Every level for itself: ViDT's neck.

    Args:
        in_channels: of the maps, fine to coarse.
        out_channels: of all maps handed out.

    Shape:
        maps ``(B, in_channels[i], h_i, w_i)`` to ``(B, out_channels, h_i, w_i)`` in the same order.

    Example:
        >>> import torch
        >>> maps = torch.rand(1, 8, 4, 6), torch.rand(1, 16, 2, 3)
        >>> [tuple(m.shape) for m in LevelProjection((8, 16), 64)(maps)]
        [(1, 64, 4, 6), (1, 64, 2, 3)]
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__(projection(channels, out_channels) for channels in in_channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The projected maps."""
        return [project(feature) for project, feature in zip(self, maps)]


class ResidualUnit(nn.Module):
    """``x`` plus a bottleneck on it: 1x1 to a quarter of the channels, 3x3, 1x1, a ReLU before each.

    Shape:
        ``(B, channels, h, w)`` to the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // 4
        self.conv1 = nn.Conv2d(channels, width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` and the branch."""
        branch = self.conv2(F.relu(self.conv1(F.relu(x))))
        return x + self.conv3(F.relu(branch))


class FusionLevel(nn.Module):
    """One level of the fusion: what comes from the coarser levels is smoothed and added to the refined map.

    Args:
        channels: of all maps.
        coarsest: whether nothing comes from above, so that only the last unit is left.
    """

    def __init__(self, channels: int, coarsest: bool) -> None:
        super().__init__()
        self.smoothing = None if coarsest else nn.Conv2d(channels, channels, 1)
        self.unit1 = None if coarsest else ResidualUnit(channels)
        self.unit2 = ResidualUnit(channels)

    def forward(self, feature: Tensor, coarser: Tensor | None) -> Tensor:
        """``feature`` ``(B, C, h, w)`` with ``coarser`` ``(B, C, h', w')``."""
        if coarser is not None:
            above = F.interpolate(coarser, feature.shape[-2:], mode="bilinear", align_corners=True)
            feature = self.smoothing(above) + self.unit1(feature)
        return self.unit2(feature)


class PyramidFusion(nn.Module):
    """EPFF: levels are fused from coarse to fine. **Maps come out coarse to fine.**

    The official code hands the list on in the order in which it was made; level indices of the deformable
    attention in ViDT+ checkpoints follow it.

    Args:
        in_channels: of the maps, fine to coarse.
        out_channels: of all maps handed out.

    Shape:
        maps ``(B, in_channels[i], h_i, w_i)``, fine to coarse, to ``(B, out_channels, h_i, w_i)``, coarse to
        fine.

    Example:
        >>> import torch
        >>> maps = torch.rand(1, 8, 4, 6), torch.rand(1, 16, 2, 3)
        >>> [tuple(m.shape) for m in PyramidFusion((8, 16), 64)(maps)]
        [(1, 64, 2, 3), (1, 64, 4, 6)]
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.lateral = LevelProjection(in_channels, out_channels)
        last = len(in_channels) - 1
        self.levels = nn.ModuleList(FusionLevel(out_channels, i == last) for i in range(last + 1))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The fused maps, coarse to fine."""
        fused: list[Tensor] = []
        for level, feature in zip(reversed(self.levels), reversed(self.lateral(maps))):
            fused.append(level(feature, fused[-1] if fused else None))
        return fused
