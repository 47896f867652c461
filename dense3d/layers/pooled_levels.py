"""Further, coarser maps behind those of a backbone: ViTDet's neck, where the pyramid is in the backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.registry import MODELS


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
