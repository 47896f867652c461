"""ResNet of bottlenecks in three dimensions: backbone of radiance grids, of NeRF-RPN (Hu et al., CVPR 2023).

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; a stage's stride lies in its first 1x1x1
convolution, as in the paper (lyclyc52/NeRF_RPN).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.radiance.grid_inputs import check_grids
from dense3d.registry import MODELS

EXPANSION = 4


class Bottleneck3D(nn.Module):
    """1x1x1, 3x3x3 and 1x1x1 convolutions beside a shortcut.

    Args:
        in_channels: of the input; ``4 * width`` come out.
        width: of the inner convolutions.
        stride: of the first.
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = width * EXPANSION
        self.conv1 = nn.Conv3d(in_channels, width, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            shortcut = nn.Conv3d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, X, Y, Z)`` to ``(B, 4 * width, X', Y', Z')``, sides over the stride rounded up."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        return F.relu(self.bn3(self.conv3(x)) + shortcut, inplace=True)


@MODELS.register_module()
class ResNet3D(BaseModule):
    """Levels of a grid by stages of bottlenecks.

    Args:
        in_channels: of the grids: red, green, blue and opacity.
        depths: bottlenecks of each stage.
        base_channels: of the stem and the first stage's inner convolutions; stage i puts out
            ``4 * base_channels * 2^i``. NeRF-RPN has 64, and 16 in its network of 64^3 grids.
        stem_stride: of the 7x7x7 convolution; 2, or 1 in the network of 64^3 grids.
        max_pool: follow the stem by a pooling of stride 2, as the published models do.
        initialisation: ``"kaiming"``, as the published models, or torch's ``"default"``.
        init_cfg: see mmengine's ``BaseModule``.

    Attributes:
        out_channels, out_strides: of each level.

    Shape:
        ``(B, in_channels, X, Y, Z)`` of any size to a list of ``(B, out_channels[i], X_i, Y_i, Z_i)``, where
        a side is divided by the stride and rounded up.

    Raises:
        ConfigError: an option is unknown.

    Example:
        >>> import torch
        >>> model = ResNet3D(depths=(1, 1), base_channels=4).eval()
        >>> [tuple(level.shape) for level in model(torch.zeros(1, 4, 16, 12, 9))]
        [(1, 16, 4, 3, 3), (1, 32, 2, 2, 2)]
    """

    def __init__(
        self,
        in_channels: int = 4,
        depths: Sequence[int] = (3, 4, 6, 3),
        base_channels: int = 64,
        stem_stride: int = 2,
        max_pool: bool = True,
        initialisation: str = "kaiming",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if initialisation not in ("kaiming", "default"):
            raise ConfigError(f"initialisation={initialisation!r} of ResNet3D: use 'kaiming' or 'default'")
        self.in_channels, self.max_pool, self.initialisation = in_channels, max_pool, initialisation
        self.conv1 = nn.Conv3d(in_channels, base_channels, 7, stride=stem_stride, padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(base_channels)
        self.layers = nn.ModuleList()
        width, channels, strides = base_channels, [], []
        stride = stem_stride * (2 if max_pool else 1)
        for stage, depth in enumerate(depths):
            inner, step = base_channels * 2**stage, 1 if stage == 0 else 2
            blocks = [Bottleneck3D(width, inner, step)]
            width, stride = inner * EXPANSION, stride * step
            blocks += [Bottleneck3D(width, inner) for _ in range(1, depth)]
            self.layers.append(nn.Sequential(*blocks))
            channels.append(width)
            strides.append(stride)
        self.out_channels, self.out_strides = tuple(channels), tuple(strides)

    def init_weights(self) -> None:
        """Draw the convolutions where ``initialisation`` asks for it, then load what ``init_cfg`` names."""
        if self.initialisation == "kaiming" and not self.is_init:
            for module in self.modules():
                if isinstance(module, nn.Conv3d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        super().init_weights()

    def forward(self, grids: Tensor) -> list[Tensor]:
        """Levels of a batch, finest first."""
        check_grids(grids, self.in_channels)
        x = F.relu(self.bn1(self.conv1(grids)), inplace=True)
        x = F.max_pool3d(x, 3, stride=2, padding=1) if self.max_pool else x
        levels = []
        for layer in self.layers:
            x = layer(x)
            levels.append(x)
        return levels
