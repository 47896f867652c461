"""Tokens of all scales that fall into the same region of an image, as one short sequence a region.

Tang et al., "DuoFormer: Leveraging Hierarchical Visual Representations by Local and Global Attention", 2024
(arXiv:2407.13920).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def region_tokens(maps: Sequence[Tensor]) -> Tensor:
    """Cut maps into the cells of the coarsest one.

    Inside a cell tokens are in row-major order, but for maps of twice the coarsest resolution, whose four are
    in column-major order, as in the official code.

    Args:
        maps: ``(B, C, k_i * h, k_i * w)``, coarsest first, with ``k_0 = 1``.

    Returns:
        ``(B, h * w, S, C)`` with S the sum of ``k_i ** 2``, coarse tokens first.

    Example:
        >>> fine = torch.arange(4.0).view(1, 1, 2, 2)
        >>> region_tokens([torch.full((1, 1, 1, 1), 9.0), fine]).flatten().tolist()
        [9.0, 0.0, 2.0, 1.0, 3.0]
    """
    height, width = maps[0].shape[-2:]
    sequences = []
    for features in maps:
        side = features.shape[-1] // width
        cells = features.unflatten(3, (width, side)).unflatten(2, (height, side))  # (B, C, h, k, w, k)
        order = (0, 2, 4, 5, 3, 1) if side == 2 else (0, 2, 4, 3, 5, 1)
        sequences.append(cells.permute(order).flatten(3, 4).flatten(1, 2))  # (B, h w, k k, C)
    return torch.cat(sequences, dim=2)


class ChannelToken(nn.Module):
    """One token a region from the channels of all four maps.

    Finer maps are brought to the coarsest grid by strided convolutions without activations and max pooling;
    four convolutions with batch norm and ReLU mix what is then side by side.

    Args:
        widths: channels of the maps, finest first.
        dim: channels of the token.

    Shape:
        maps ``(B, widths[i], 8 h, 8 w)``, ``(... 4 h, 4 w)``, ``(... 2 h, 2 w)``, ``(... h, w)``
        to ``(B, h * w, 1, dim)``.

    Example:
        >>> maps = [torch.zeros(1, c, 2 * k, 3 * k) for c, k in ((4, 8), (6, 4), (8, 2), (10, 1))]
        >>> ChannelToken((4, 6, 8, 10), 12)(maps).shape
        torch.Size([1, 6, 1, 12])
    """

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        first, second = widths[:2]
        pool = nn.MaxPool2d(2)
        self.reduce = nn.ModuleList(
            [
                nn.Sequential(_halving(first), _halving(first), pool),
                nn.Sequential(_halving(second), pool),
                pool,
                nn.Identity(),
            ]
        )
        self.mix = nn.Sequential()
        for i in range(4):
            channels = sum(widths) if i == 0 else dim
            self.mix.append(
                nn.Sequential(nn.Conv2d(channels, dim, 3, padding=1), nn.BatchNorm2d(dim), nn.ReLU())
            )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Tokens of maps, finest first."""
        mixed = self.mix(torch.cat([reduce(x) for reduce, x in zip(self.reduce, maps)], dim=1))
        return mixed.flatten(2).transpose(1, 2)[:, :, None]


def _halving(channels: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
    return start_projection(convolution)


def start_projection(convolution: nn.Conv2d) -> nn.Conv2d:
    """A convolution that starts with He's normal weights and biases of almost zero."""
    nn.init.kaiming_normal_(convolution.weight)
    nn.init.normal_(convolution.bias, std=1e-6)
    return convolution
