"""Auxiliary semantic heads of kMaX-DeepLab, which supervise the backbone while training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from torch import Tensor, nn

from dense3d.segmentation.kmax_deeplab.layers import ConvNorm, truncated_normal_

CHANNELS = 256


def separable(in_channels: int, out_channels: int) -> nn.Sequential:
    """Depthwise 5x5, then 1x1 convolution, each with norm and GELU."""
    return nn.Sequential(
        ConvNorm(in_channels, in_channels, kernel_size=5, depthwise=True), ConvNorm(in_channels, out_channels)
    )


def classifier(num_outputs: int) -> nn.Conv2d:
    """The last 1x1 convolution, small at first."""
    conv = nn.Conv2d(CHANNELS, num_outputs, 1)
    truncated_normal_(conv.weight, 0.01)
    nn.init.zeros_(conv.bias)
    return conv


class PooledBranch(ConvNorm):
    """1x1 convolution of the mean pixel, one value a channel and image.

    One image without synchronised batch norm has no batch statistics here: the running ones serve and stay
    as they are.

    Shape:
        ``(B, in_channels, h, w)`` to ``(B, out_channels, 1, 1)``.

    Example:
        >>> PooledBranch(8, 16)(torch.zeros(1, 8, 5, 7)).shape
        torch.Size([1, 16, 1, 1])
    """

    def forward(self, x: Tensor) -> Tensor:
        """The activated mean."""
        x = self.conv(x.mean(dim=(2, 3), keepdim=True))
        synchronised = isinstance(self.norm, nn.SyncBatchNorm) and get_world_size() > 1
        if not self.training or len(x) > 1 or synchronised:
            return F.gelu(self.norm(x))
        norm = self.norm
        statistics = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return F.gelu(F.batch_norm(x, *statistics, eps=norm.eps))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3 and a pooled branch (DeepLabV3).

    Args:
        in_channels: channels of the map.
        rates: dilation of the 3x3 branches.

    Shape:
        ``(B, in_channels, h, w)`` to ``(B, 256, h, w)``.

    Example:
        >>> ASPP(8).eval()(torch.zeros(1, 8, 5, 7)).shape
        torch.Size([1, 256, 5, 7])
    """

    def __init__(self, in_channels: int, rates: Sequence[int] = (6, 12, 18)) -> None:
        super().__init__()
        dilated = (ConvNorm(in_channels, CHANNELS, kernel_size=3, dilation=rate) for rate in rates)
        self.branches = nn.ModuleList([ConvNorm(in_channels, CHANNELS), *dilated])
        self.pooled = PooledBranch(in_channels, CHANNELS)
        self.proj = ConvNorm((len(rates) + 2) * CHANNELS, CHANNELS)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Context of five kinds, mixed."""
        pooled = self.pooled(x).expand(-1, -1, *x.shape[-2:])
        return self.dropout(self.proj(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1)))


class SemanticHead(nn.Module):
    """DeepLabV3+ decoder: ASPP on the map of stride 32, refined with those of strides 8 and 4.

    Args:
        in_channels: channels of the maps of strides 32, 8 and 4.
        num_classes: K; the head has K + 1 outputs, the last of which is never a target.

    Example:
        >>> head = SemanticHead((32, 16, 8), num_classes=3).eval()
        >>> maps = [torch.zeros(1, c, s, s) for c, s in ((32, 3), (16, 9), (8, 17))]
        >>> head(maps).shape
        torch.Size([1, 4, 17, 17])
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.aspp = ASPP(in_channels[0])
        self.low_proj = nn.ModuleList([ConvNorm(in_channels[1], 64), ConvNorm(in_channels[2], 32)])
        self.fusion = nn.ModuleList([separable(CHANNELS + 64, CHANNELS), separable(CHANNELS + 32, CHANNELS)])
        self.final = separable(CHANNELS, CHANNELS)
        self.classifier = classifier(num_classes + 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits ``(B, K + 1, h, w)`` at stride 4.

        Args:
            features: backbone's maps of strides 32, 8 and 4, not normalised.
        """
        x = self.aspp(features[0])
        align_corners = features[0].shape[-1] % 2 == 1
        for feature, proj, fusion in zip(features[1:], self.low_proj, self.fusion):
            size = feature.shape[-2:]
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)
            x = fusion(torch.cat((x, proj(feature)), dim=1))
        return self.classifier(self.final(x))


class CoarseSemanticHead(nn.Module):
    """A classifier of the map of stride 32 alone, for Cityscapes.

    Args:
        in_channels: channels of the maps; the first is that of stride 32.
        num_classes: K, the number of outputs.

    Example:
        >>> CoarseSemanticHead((32,), num_classes=3)([torch.zeros(2, 32, 5, 9)]).shape
        torch.Size([2, 3, 5, 9])
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.final = separable(in_channels[0], CHANNELS)
        self.classifier = classifier(num_classes)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits ``(B, K, h, w)`` at stride 32."""
        return self.classifier(self.final(features[0]))
