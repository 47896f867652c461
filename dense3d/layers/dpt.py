"""The dense prediction head on token maps of a ViT: four depths become a pyramid, and that a map of pixels.

Ranftl et al., "Vision Transformers for Dense Prediction", ICCV 2021, without batch norm: relative depth in
Depth Anything V2 (Yang et al., 2024, arXiv 2406.09414), disparity and flow in CroCo v2 (Weinzaepfel et al.,
ICCV 2023, arXiv 2211.10408).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.registry import MODELS


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, and the identity: ``(B, C, h, w)`` to the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``x + conv2(relu(conv1(relu(x))))``."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class FusionBlock(nn.Module):
    """Adds a level to the coarser ones, and resizes the sum.

    Args:
        channels: of all maps.
        with_skip: whether a coarser map comes in beside the level; not in the coarsest block.
    """

    def __init__(self, channels: int, with_skip: bool = True):
        super().__init__()
        self.skip_unit = ResidualUnit(channels) if with_skip else None
        self.unit = ResidualUnit(channels)
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, level: Tensor, coarser: Tensor | None, size: tuple[int, int]) -> Tensor:
        """``(B, C, h, w)`` and the coarser maps' sum of the same size to ``(B, C, *size)``."""
        total = level if self.skip_unit is None else coarser + self.skip_unit(level)
        resized = F.interpolate(self.unit(total), size, mode="bilinear", align_corners=True)
        return self.conv(resized)


@MODELS.register_module()
class DPTHead(BaseModule):
    """Four token maps of a ViT to a map of pixels.

    The maps are re-assembled at 4, 2, 1 and 1/2 times their size and fused from coarse to fine, each time
    resized to the next level's size, so that any grid fits.

    Args:
        in_channels: of the four maps, the shallowest first.
        hidden_channels: of their projections.
        channels: of the fused pyramid.
        out_channels: of the result.
        last_channels: of the layer before it.
        nonnegative: end in a ReLU, as inverse depth of unknown scale does.
        frozen: not trained.
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads the part
            ``depth_head`` of a converted checkpoint, or the one named by ``prefix``.

    Shape:
        four maps ``(B, D, h, w)`` and the wanted size ``(H, W)`` to ``(B, out_channels, H, W)``.

    Raises:
        ConfigError: there are not four maps, or not as many hidden channels.

    Example:
        >>> import torch
        >>> head = DPTHead([8] * 4, (4, 4, 8, 8), channels=4)
        >>> head([torch.rand(1, 8, 2, 3)] * 4, (28, 42)).shape
        torch.Size([1, 1, 28, 42])
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        hidden_channels: Sequence[int] = (48, 96, 192, 384),
        channels: int = 64,
        out_channels: int = 1,
        last_channels: int = 32,
        nonnegative: bool = True,
        frozen: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if len(in_channels) != 4 or len(hidden_channels) != 4:
            raise ConfigError(
                f"a DPT head fuses four maps, but has {len(in_channels)} in_channels and "
                f"{len(hidden_channels)} hidden_channels"
            )
        a, b, c, d = hidden_channels
        self.projections = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in zip(in_channels, hidden_channels, strict=True)
        )
        self.resizers = nn.ModuleList(
            (
                nn.ConvTranspose2d(a, a, 4, stride=4),
                nn.ConvTranspose2d(b, b, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(d, d, 3, stride=2, padding=1),
            )
        )
        self.laterals = nn.ModuleList(
            nn.Conv2d(width, channels, 3, padding=1, bias=False) for width in (a, b, c, d)
        )
        self.fusions = nn.ModuleList(FusionBlock(channels, with_skip=level < 3) for level in range(4))
        self.neck = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.output = nn.Sequential(
            nn.Conv2d(channels // 2, last_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(last_channels, out_channels, 1),
            nn.ReLU() if nonnegative else nn.Identity(),
        )
        if frozen:
            self.requires_grad_(False)

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint; everything else has torch's initial values."""
        if not self.init_cfg or self.init_cfg.get("type") != "Pretrained":
            return
        from dense3d.engine.checkpoint import load_checkpoint, load_into, weights_of

        path = self.init_cfg["checkpoint"]
        prefix = self.init_cfg.get("prefix", "depth_head").rstrip(".") + "."
        weights = weights_of(load_checkpoint(path), path)
        part = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        load_into(self, part, source=str(path))

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """See the class."""
        levels = [
            lateral(resize(project(x)))
            for x, project, resize, lateral in zip(maps, self.projections, self.resizers, self.laterals)
        ]
        height, width = levels[0].shape[-2:]
        sizes = [(2 * height, 2 * width), *(tuple(level.shape[-2:]) for level in levels[:-1])]
        fused = None
        for level, fusion, target in reversed(list(zip(levels, self.fusions, sizes))):
            fused = fusion(level, fused, target)
        return self.output(F.interpolate(self.neck(fused), size, mode="bilinear", align_corners=True))
