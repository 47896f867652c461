"""From the tokens of a plain ViT to the pyramid that MonoDINO-DETR's encoder sees.

It is the hierarchical feature fusion block of Kim et al., "MonoDINO-DETR", IV 2025 (arXiv 2502.00315).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dense3d.registry import MODELS


@MODELS.register_module()
class HierarchicalFeatureFusion(nn.Module):
    """One level a token map, the shallowest at four times its size, the next at twice, the last at its own.

    The levels meet in the multi-scale encoder behind it, not here. Kim et al., "MonoDINO-DETR", IV 2025
    (arXiv 2502.00315), figure 3.

    Args:
        in_channels: of the backbone's maps; the last three are used.
        hidden_channels: of the two levels that are enlarged.
        out_channels: of all levels; a multiple of 32, as are the hidden ones.

    Shape:
        maps ``(B, D, h, w)`` to ``(B, C, 4h, 4w)``, ``(B, C, 2h, 2w)`` and ``(B, C, h, w)``.

    Example:
        >>> import torch
        >>> fusion = HierarchicalFeatureFusion([8] * 4, (32, 64), 64)
        >>> [tuple(level.shape) for level in fusion([torch.rand(1, 8, 2, 3)] * 4)]
        [(1, 64, 8, 12), (1, 64, 4, 6), (1, 64, 2, 3)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        hidden_channels: tuple[int, int] = (96, 192),
        out_channels: int = 256,
    ):
        super().__init__()
        first, second, last = in_channels[-3:]
        self.levels = nn.ModuleList(
            (
                _enlarge(first, hidden_channels[0], out_channels, 4),
                _enlarge(second, hidden_channels[1], out_channels, 2),
                nn.Sequential(nn.Conv2d(last, out_channels, 1), nn.GroupNorm(32, out_channels)),
            )
        )
        for level in self.levels:
            nn.init.xavier_uniform_(level[0].weight)
            nn.init.zeros_(level[0].bias)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """See the class."""
        return tuple(level(x) for level, x in zip(self.levels, maps[-3:]))


def _enlarge(in_channels: int, hidden_channels: int, out_channels: int, factor: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, hidden_channels, 1),
        nn.GroupNorm(32, hidden_channels),
        nn.ConvTranspose2d(hidden_channels, out_channels, factor, stride=factor),
        nn.GroupNorm(32, out_channels),
    )
