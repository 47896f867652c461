"""VGG in three dimensions: backbone of radiance grids, of NeRF-RPN (Hu et al., CVPR 2023, lyclyc52/NeRF_RPN).

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
"""

from __future__ import annotations

from itertools import pairwise

from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError, did_you_mean
from dense3d.radiance.grid_inputs import check_grids
from dense3d.registry import MODELS

# widths of the convolutions of each of the four stages; the stages after the first end in a pooling
ARCHITECTURES = {
    "AF": ((64, 128), (256, 256), (512, 512), (512, 512)),
    "DF": ((64, 64, 128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    "EF": ((64, 64, 128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}
NOT_PYRAMIDS = ("A", "B", "D", "E")
STEM = 64
START = 32


@MODELS.register_module()
class VGG3D(BaseModule):
    """Levels of a grid by stages of 3x3x3 convolutions.

    Args:
        architecture: ``"AF"``, ``"DF"`` or ``"EF"``. The official code lists A, B, D and E, too, which its
            pyramid cannot be built on.
        in_channels: of the grids: red, green, blue and opacity.
        batch_norm: after the convolutions of the stages.
        stem_stride: 4, or 1 as the official code has it for grids of less than 160 voxels a side.
        conv_at_start: two convolutions before the stem, and a path of its own from them to the first level.
        init_cfg: see mmengine's ``BaseModule``.

    Attributes:
        out_channels, out_strides: of each level.

    Shape:
        ``(B, in_channels, X, Y, Z)`` of any size to a list of ``(B, out_channels[i], X_i, Y_i, Z_i)``, where
        a side is divided by the stride and rounded up.

    Raises:
        ConfigError: an option is unknown, or ``conv_at_start`` comes with ``stem_stride=1``.

    Example:
        >>> import torch
        >>> levels = VGG3D().eval()(torch.zeros(1, 4, 32, 16, 9))
        >>> [tuple(level.shape[1:]) for level in levels]
        [(128, 8, 4, 3), (256, 4, 2, 2), (512, 2, 1, 1), (512, 1, 1, 1)]
    """

    def __init__(
        self,
        architecture: str = "AF",
        in_channels: int = 4,
        batch_norm: bool = True,
        stem_stride: int = 4,
        conv_at_start: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if architecture not in ARCHITECTURES:
            why = " (it has no levels for a pyramid)" if architecture in NOT_PYRAMIDS else ""
            hint = did_you_mean(architecture, ARCHITECTURES)
            raise ConfigError(
                f"architecture={architecture!r} of VGG3D{why}{hint}: use one of {', '.join(ARCHITECTURES)}"
            )
        if stem_stride not in (1, 4) or (conv_at_start and stem_stride == 1):
            raise ConfigError(
                f"stem_stride={stem_stride} of VGG3D: use 4 or 1, and with conv_at_start=True 4, as its path "
                "to the first level"
            )
        self.in_channels = in_channels
        self.starting_layers = self.ds_layers = None
        if conv_at_start:
            self.starting_layers = _layers((in_channels, START, START))
            self.ds_layers = nn.Sequential(
                *_layers((START, START, START), stride=2),
                *_layers((START, ARCHITECTURES[architecture][0][-1]), 1),
            )
        width = START if conv_at_start else in_channels
        stem = [nn.Conv3d(width, STEM, 7, stride=2 if stem_stride == 4 else 1, padding=3)]
        stem += [nn.BatchNorm3d(STEM), nn.ReLU(inplace=True)]
        stem += [nn.MaxPool3d(3, stride=2, padding=1)] if stem_stride == 4 else []
        self.stem = nn.Sequential(*stem)
        self.stages = nn.ModuleList()
        width = STEM
        for number, widths in enumerate(ARCHITECTURES[architecture]):
            layers = list(_layers((width, *widths), batch_norm=batch_norm))
            layers += [nn.MaxPool3d(2, stride=2, ceil_mode=True)] if number else []
            self.stages.append(nn.Sequential(*layers))
            width = widths[-1]
        self.out_channels = tuple(widths[-1] for widths in ARCHITECTURES[architecture])
        self.out_strides = tuple(stem_stride * 2**level for level in range(len(self.stages)))

    def forward(self, grids: Tensor) -> list[Tensor]:
        """Levels of a batch, finest first."""
        check_grids(grids, self.in_channels)
        x = grids if self.starting_layers is None else self.starting_layers(grids)
        beside = None if self.ds_layers is None else self.ds_layers(x)
        x, levels = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        if beside is not None:
            levels[0] = levels[0] + beside
        return levels


def _layers(
    widths: tuple[int, ...], kernel: int = 3, stride: int = 1, batch_norm: bool = True
) -> nn.Sequential:
    """Convolutions from each width to the next, each followed by a norm and ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers.append(nn.Conv3d(before, after, kernel, stride=stride, padding=kernel // 2))
        layers += [nn.BatchNorm3d(after)] if batch_norm else []
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
