"""What the depth predictor starts from: a feature pyramid (MonoDETR) or relative depth (MonoDINO-DETR)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.registry import MODELS


@MODELS.register_module()
class PyramidDepthSource(nn.Module):
    """Mean of three neighbouring levels at the size of the middle one.

    Args:
        embed_dims: channels of all maps, a multiple of 32.

    Shape:
        ``(B, C, 2h, 2w)``, ``(B, C, h, w)``, ``(B, C, h / 2, w / 2)`` and further levels to ``(B, C, h, w)``.
    """

    def __init__(self, embed_dims: int = 256):
        super().__init__()
        self.fine = nn.Sequential(
            nn.Conv2d(embed_dims, embed_dims, 3, stride=2, padding=1), nn.GroupNorm(32, embed_dims)
        )
        self.middle = nn.Sequential(nn.Conv2d(embed_dims, embed_dims, 1), nn.GroupNorm(32, embed_dims))
        self.coarse = nn.Sequential(nn.Conv2d(embed_dims, embed_dims, 1), nn.GroupNorm(32, embed_dims))

    def forward(self, levels: Sequence[Tensor], relative_depth: Tensor | None = None) -> Tensor:
        """Features; there is no use for relative depth."""
        fine, middle, coarse = levels[:3]
        coarse = F.interpolate(coarse, middle.shape[-2:], mode="bilinear", align_corners=False)
        return (self.fine(fine) + self.middle(middle) + self.coarse(coarse)) / 3


@MODELS.register_module()
class RelativeDepthSource(nn.Module):
    """Relative depth, resized to the coarsest level and convolved.

    Args:
        embed_dims: channels of the features, a multiple of 32.

    Shape:
        levels, the last of them ``(B, C, h, w)``, and relative depth ``(B, 1, H, W)`` to ``(B, C, h, w)``.
    """

    def __init__(self, embed_dims: int = 256):
        super().__init__()
        self.convolution = nn.Sequential(
            nn.Conv2d(1, embed_dims, 3, padding=1), nn.GroupNorm(32, embed_dims), nn.ReLU()
        )

    def forward(self, levels: Sequence[Tensor], relative_depth: Tensor) -> Tensor:
        """Features of the relative depth; of the levels only the size is used."""
        size = levels[-1].shape[-2:]
        return self.convolution(F.interpolate(relative_depth, size, mode="bilinear", align_corners=False))
