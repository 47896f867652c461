"""Neck of ViT-CoMer's Co-DETR model: a simple pyramid of the ViT's last map, with the four maps added."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.registry import MODELS


@MODELS.register_module()
class ViTCoMerNeck(BaseModule):
    """Five maps of strides 4 to 64 from the five of ``ViTCoMer(with_vit_map=True)``.

    The pyramid enlarges the ViT's map to the nearest neighbour, or halves it by max pooling, around 3x3 and
    1x1 convolutions with layer norms over the channels; ViT-CoMer's maps come in through 1x1 convolutions,
    without a norm. ``SFP`` of the Co-DETR branch of Traffic-X/ViT-CoMer (arXiv 2403.07392).

    Args:
        in_channels: channels D of the five maps.
        out_channels: channels C of the results.
        init_cfg: mmengine initialisation; Xavier's uniform one unless given.

    Shape:
        five maps ``(B, D, ceil(H / s), ceil(W / s))``, s = 16, 4, 8, 16, 32 -> five
        ``(B, C, ceil(H / s), ceil(W / s))``, s = 4, 8, 16, 32, 64.

    Raises:
        ConfigError: the maps are not five, or differ in channels.

    Example:
        >>> import torch
        >>> maps = [torch.zeros(1, 8, n, n) for n in (4, 13, 7, 4, 2)]  # of 52 x 52 pixels
        >>> [m.shape[-1] for m in ViTCoMerNeck([8] * 5, 4)(maps)]
        [13, 7, 4, 2, 1]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Xavier", layer="Conv2d", distribution="uniform"))
        if len(in_channels) != 5 or len(set(in_channels)) != 1:
            raise ConfigError(
                f"ViTCoMerNeck has in_channels={list(in_channels)}: it takes five equal ones, those of a "
                "ViTCoMer with with_vit_map=True"
            )
        dim = in_channels[0]
        half, quarter = dim // 2, dim // 4
        pool = nn.MaxPool2d(3, stride=2, padding=1)
        rescale = (
            ([*_enlarged(dim, half), *_enlarged(half, quarter)], quarter),
            (_enlarged(dim, half), half),
            ([], dim),
            ([pool], dim),
            ([pool, *_normed(nn.Conv2d(dim, dim, 3, stride=2, padding=1, bias=False)), nn.GELU()], dim),
        )
        self.scales = nn.ModuleList(
            nn.Sequential(
                *layers,
                *_normed(nn.Conv2d(channels, out_channels, 1, bias=False)),
                nn.GELU(),
                *_normed(nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)),
            )
            for layers, channels in rescale
        )
        self.laterals = nn.ModuleList(nn.Conv2d(dim, out_channels, 1, bias=False) for _ in range(4))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The five maps; those of the pyramid are cut to the size of what is added to them."""
        vit_map, *features = maps
        pyramid = [scale(vit_map) for scale in self.scales]
        added = [lateral(feature) for lateral, feature in zip(self.laterals, features)]
        merged = [p[..., : a.shape[-2], : a.shape[-1]] + a for p, a in zip(pyramid, added)]
        return (*merged, pyramid[-1])


def _normed(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, ChannelLayerNorm(convolution.out_channels)]


def _enlarged(channels: int, out_channels: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
    return [nn.Upsample(scale_factor=2), *_normed(convolution), nn.GELU()]
