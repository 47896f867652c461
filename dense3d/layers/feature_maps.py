"""Modules on feature maps: layer norm over channels, and what ViTDet adds to a plain ViT.

Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.registry import MODELS


@MODELS.register_module()
class ChannelLayerNorm(nn.LayerNorm):
    """Layer norm of each pixel over its channels.

    Shape:
        ``(B, C, H, W)`` to the same.

    Example:
        >>> import torch
        >>> ChannelLayerNorm(4)(torch.randn(1, 4, 2, 3)).mean(1).abs().max() < 1e-6
        tensor(True)
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """The normalised map."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvBottleneck(nn.Module):
    """Residual bottleneck that carries information across windows: 1x1 to half the channels, 3x3, 1x1.

    The last norm starts at zero, so that the block starts as the identity. Li et al., "Exploring Plain Vision
    Transformer Backbones for Object Detection", ECCV 2022, section 3.

    Args:
        channels: of input and output.

    Shape:
        ``(B, channels, H, W)`` to the same.

    Example:
        >>> import torch
        >>> x = torch.randn(1, 4, 2, 3)
        >>> torch.equal(ConvBottleneck(4)(x), x)
        True
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // 2
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.norm1 = ChannelLayerNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = ChannelLayerNorm(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.norm3 = ChannelLayerNorm(channels)
        nn.init.zeros_(self.norm3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` plus the branch."""
        branch = F.gelu(self.norm1(self.conv1(x)))
        branch = F.gelu(self.norm2(self.conv2(branch)))
        return x + self.norm3(self.conv3(branch))


@MODELS.register_module()
class PooledLevels(nn.Module):
    """Pass maps on and append coarser ones, each every second cell of the one before.

    Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", ECCV 2022; the last
    level of Lin et al., "Feature Pyramid Networks", CVPR 2017.

    Args:
        num_outs: number of maps handed out.

    Shape:
        n maps ``(B, C, H_i, W_i)`` -> ``num_outs`` maps; each new one ``(B, C, ceil(H / 2), ceil(W / 2))``.

    Example:
        >>> import torch
        >>> maps = PooledLevels(3)((torch.zeros(1, 4, 9, 6), torch.zeros(1, 4, 5, 3)))
        >>> [tuple(m.shape) for m in maps]
        [(1, 4, 9, 6), (1, 4, 5, 3), (1, 4, 3, 2)]
    """

    def __init__(self, num_outs: int) -> None:
        super().__init__()
        self.num_outs = num_outs

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The maps and what is appended."""
        maps = list(maps)
        while len(maps) < self.num_outs:
            maps.append(F.max_pool2d(maps[-1], kernel_size=1, stride=2))
        return tuple(maps)
