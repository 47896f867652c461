"""ConvNeXt for dense prediction: V1, V2, and DINOv3's.

Liu et al., A ConvNet for the 2020s, CVPR 2022 (arXiv:2201.03545); Woo et al., ConvNeXt V2, CVPR 2023
(arXiv:2301.00808); Siméoni et al., DINOv3, 2025. The blocks are timm's; own are the output norms, the padding
to whole strides (the official code drops trailing rows and columns) and the depths for layer-wise decay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from dense3d.backbones.layer_depths import grouped_depths
from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.optional import require
from dense3d.registry import MODELS


def _widths(first: int) -> tuple[int, ...]:
    return tuple(first * 2**i for i in range(4))


# Released sizes by version. DINOv3's (tiny to large) are those of V1.
ARCHITECTURES: dict[int, dict[str, dict]] = {
    1: {
        "tiny": dict(dims=_widths(96), depths=(3, 3, 9, 3)),
        "small": dict(dims=_widths(96), depths=(3, 3, 27, 3)),
        "base": dict(dims=_widths(128), depths=(3, 3, 27, 3)),
        "large": dict(dims=_widths(192), depths=(3, 3, 27, 3)),
        "xlarge": dict(dims=_widths(256), depths=(3, 3, 27, 3)),
    },
    2: {
        "atto": dict(dims=_widths(40), depths=(2, 2, 6, 2)),
        "femto": dict(dims=_widths(48), depths=(2, 2, 6, 2)),
        "pico": dict(dims=_widths(64), depths=(2, 2, 6, 2)),
        "nano": dict(dims=_widths(80), depths=(2, 2, 8, 2)),
        "tiny": dict(dims=_widths(96), depths=(3, 3, 9, 3)),
        "base": dict(dims=_widths(128), depths=(3, 3, 27, 3)),
        "large": dict(dims=_widths(192), depths=(3, 3, 27, 3)),
        "huge": dict(dims=_widths(352), depths=(3, 3, 27, 3)),
    },
}
OUTPUT_NORMS = ("all", "last", "none")


@MODELS.register_module()
class ConvNeXt(StagedBackbone):
    """ConvNeXt, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size of the version (:data:`ARCHITECTURES`), or a dict with ``dims`` and ``depths``,
            four of each.
        version: 1 (layer scale), or 2 (global response normalisation instead).
        layer_scale: initial layer scale of version 1; 1 in the official dense configurations, 1e-6 in
            classification; 0 or less means none.
        output_norm: which maps get a LayerNorm over channels: ``"all"`` as in the official dense code,
            ``"last"`` as in DINOv3, whose weights must then come with that norm, or ``"none"``.
        drop_path_rate: rate of the last block; it grows linearly from 0.
        patch_size, in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`;
            the down-sampling before a stage belongs to that stage.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or norm, not four stages, stages out of range.

    Example:
        >>> import torch
        >>> backbone = ConvNeXt(dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1)), out_indices=(0, 2))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 24, 3, 4)]
    """

    converters = ("convnext", "dinov3-convnext")
    tiny_variants: ClassVar[dict[str, dict]] = {
        "V1": dict(arch=dict(dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))),
        "V2": dict(arch=dict(dims=(16, 24, 32, 48), depths=(1, 1, 2, 1)), version=2),
    }

    def __init__(
        self,
        arch: str | dict = "tiny",
        version: int = 1,
        layer_scale: float = 1.0,
        output_norm: str = "all",
        drop_path_rate: float = 0.0,
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch, version)
        self.depths = tuple(sizes["depths"])
        super().__init__(
            sizes["dims"], patch_size, in_channels, out_indices, frozen_stages, with_cp, init_cfg
        )
        if output_norm not in OUTPUT_NORMS:
            raise ConfigError(
                f"ConvNeXt: output_norm={output_norm!r}, but there are {', '.join(OUTPUT_NORMS)}"
            )
        convnext = require("timm.models.convnext", "ConvNeXt")
        if output_norm == "last":
            self.converters, self.norms_are_pretrained = ("dinov3-convnext", "convnext"), True
        self.body = convnext.ConvNeXt(
            in_chans=in_channels,
            num_classes=0,
            depths=self.depths,
            dims=self.channels,
            patch_size=patch_size,
            use_grn=version == 2,
            ls_init_value=layer_scale if version == 1 and layer_scale > 0 else None,
            drop_path_rate=drop_path_rate,
        )
        del self.body.norm_pre, self.body.head
        norm = type(self.body.stem[1])
        for index, dim in zip(self.out_indices, self.out_channels):
            if output_norm == "all" or (output_norm == "last" and index == len(self.channels) - 1):
                self.add_module(f"norm{index}", norm(dim, eps=1e-6))
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """The largest stride: nothing is left over at any down-sampling."""
        return self.patch_size * 2 ** (len(self.channels) - 1)

    @property
    def num_layers(self) -> int:
        """Depth at which the head of an official recipe stands, less 1: 6 for tiny, 12 for larger models."""
        return 3 + math.ceil(self.depths[2] / 3)

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, C, H / 4, W / 4)``."""
        return self.body.stem(images)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Down-sample the map before and run the blocks: ``(B, C, h, w)``."""
        x = self.body.stages[index].downsample(x)
        for block in self.blocks(index):
            x = self.run(block, x)
        return x

    def stem_modules(self) -> list[nn.Module]:
        """The patch embedding."""
        return [self.body.stem]

    def downsampling(self, index: int) -> nn.Module:
        """A norm and a strided convolution before stage ``index``."""
        return self.body.stages[index].downsample

    def blocks(self, index: int) -> nn.Sequential:
        """Blocks of one stage."""
        return self.body.stages[index].blocks

    def layer_ids(self, num_layers: int | None = None) -> dict[str, int]:
        """Depth of every parameter, see :func:`grouped_depths`; three blocks of stage 2 count as one."""
        return grouped_depths(self, self.num_layers if num_layers is None else num_layers, group=3)


def _sizes(arch: str | dict, version: int) -> dict:
    if version not in ARCHITECTURES:
        raise ConfigError(f"ConvNeXt: version={version!r}, but there are 1 and 2")
    known = ARCHITECTURES[version]
    if isinstance(arch, str):
        if arch not in known:
            raise ConfigError(
                f"ConvNeXt V{version} has no size {arch!r}{did_you_mean(arch, known)} "
                f"(known: {', '.join(known)})"
            )
        return known[arch]
    if set(arch) != {"dims", "depths"}:
        raise ConfigError(f"ConvNeXt: arch needs dims and depths, but has {', '.join(sorted(arch))}")
    if not len(arch["dims"]) == len(arch["depths"]) == 4:
        raise ConfigError(
            f"ConvNeXt has four stages, but arch has {len(arch['dims'])} dims "
            f"and {len(arch['depths'])} depths"
        )
    return arch
