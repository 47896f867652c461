"""ConvNeXt and ResNet as kMaX-DeepLab has them: own padding, and the stem as a map of its own."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dense3d.backbones.convnext import ConvNeXt
from dense3d.backbones.timm_backbone import TimmBackbone
from dense3d.registry import MODELS


@MODELS.register_module()
class KMaXConvNeXt(ConvNeXt):
    """ConvNeXt whose strided convolutions see padding on both sides, so that an input of 32 m + 1 fits.

    Official kMaX-DeepLab pads by (1, 2) before the stem and (0, 1) before each later down-sampling. The maps
    have the sizes of :class:`ConvNeXt`, but other places in the image.

    Args:
        arch: as for :class:`ConvNeXt`.
        with_stem: hand out the stem's map too, after that of the first stage, for the fifth stage of the
            pixel decoder on Cityscapes.
        drop_path_rate: rate of the last block.
        kwargs: further arguments of :class:`ConvNeXt`.

    Shape:
        images ``(B, 3, H, W)`` -> tuple of ``(B, out_channels[i], ceil(H / out_strides[i]), ...)``.

    Example:
        >>> import torch
        >>> backbone = KMaXConvNeXt(dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1)), with_stem=True)
        >>> [tuple(m.shape[1:]) for m in backbone(torch.zeros(1, 3, 33, 65))]
        [(8, 9, 17), (8, 9, 17), (16, 5, 9), (24, 3, 5), (32, 2, 3)]
    """

    def __init__(
        self, arch: str | dict = "tiny", with_stem: bool = False, drop_path_rate: float = 0.3, **kwargs
    ) -> None:
        official = dict(layer_scale=1e-6, output_norm="none")
        super().__init__(arch, drop_path_rate=drop_path_rate, **(official | kwargs))
        self.with_stem = with_stem
        if with_stem:
            self.out_channels = (self.channels[0], self.channels[0], *self.channels[1:])
            self.out_strides = (self.patch_size, *self.out_strides)

    @property
    def pad_multiple(self) -> int:
        """Every size fits: down-sampling pads where it happens."""
        return 1

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, C, ceil(H / 4), ceil(W / 4))``."""
        return self.body.stem(F.pad(images, (1, 2, 1, 2)))

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Down-sample the map before and run the blocks: ``(B, C, h, w)``."""
        if index > 0:
            x = self.downsampling(index)(F.pad(x, (0, 1, 0, 1)))  # the norm sees the padding too
        for block in self.blocks(index):
            x = self.run(block, x)
        return x

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps of the stages; with the stem: first stage, stem, second stage ..."""
        if not self.with_stem:
            return super().forward(images)
        stem = x = self.stem(images)
        maps = []
        for index in range(len(self.channels)):
            x = self.stage(index, x)
            maps.append(x)
        return (maps[0], stem, *maps[1:])


@MODELS.register_module()
class ResNetWithStem(TimmBackbone):
    """A ResNet of timm that hands out its stem, after the pooling, before the maps of strides 4 to 32.

    Args:
        model_name: timm's name of a ResNet.
        kwargs: further arguments of :class:`TimmBackbone`, without the choice of maps.

    Shape:
        images ``(B, 3, H, W)`` -> five maps of strides 4, 4, 8, 16, 32.

    Example:
        >>> import torch
        >>> [tuple(m.shape[1:]) for m in ResNetWithStem("resnet18")(torch.zeros(1, 3, 65, 97))]
        [(64, 17, 25), (64, 17, 25), (128, 9, 13), (256, 5, 7), (512, 3, 4)]
    """

    def __init__(self, model_name: str, **kwargs) -> None:
        super().__init__(model_name, out_strides=(2, 4, 8, 16, 32), **kwargs)
        self.out_strides = (4, 4, 8, 16, 32)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The pooled stem and the maps of the four stages."""
        stem, *maps = self.body(images)
        return (F.max_pool2d(stem, 3, stride=2, padding=1), *maps)
