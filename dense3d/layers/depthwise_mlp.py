"""Depthwise convolutions of channels-last maps, and the feed-forward network that has one inside.

A depthwise convolution in the feed-forward network gives a transformer local detail and, by its zero border,
a sense of absolute position: PVT v2 (Wang et al., 2021), and after it SpectFormer, SVT, SG-Former, RMT and
PPMA. They differ in where it stands.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError

PLACES = ("before", "after")


class DepthwiseConv(nn.Conv2d):
    """Every channel convolved with a kernel of its own; the map keeps its size.

    Args:
        dim: channels C.
        kernel_size: side of the kernels, odd.
        bias: whether there is a bias.

    Shape:
        ``(B, h, w, C)`` to the same.

    Example:
        >>> import torch
        >>> DepthwiseConv(8, 5)(torch.zeros(2, 3, 4, 8)).shape
        torch.Size([2, 3, 4, 8])
    """

    def __init__(self, dim: int, kernel_size: int = 3, bias: bool = True) -> None:
        super().__init__(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; the channels stay last in memory as well."""
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class DepthwiseMLP(nn.Module):
    """Feed-forward network with a depthwise convolution beside its GELU (exact).

    ===========  ==============  ========  ================================
    network      ``conv_place``  residual  between ``fc1`` and ``fc2``
    ===========  ==============  ========  ================================
    PVT v2, SVT  ``"before"``    no        ``gelu(conv(h))``
    SG-Former    ``"before"``    yes       ``gelu(h + conv(h))``
    RMT, PPMA    ``"after"``     yes       ``g + conv(g)``, ``g = gelu(h)``
    ===========  ==============  ========  ================================

    Args:
        dim: input and output channels.
        hidden_dim: channels between the two layers.
        conv_place: whether the convolution stands before or after the GELU.
        residual: whether the convolution adds to what it reads.
        kernel_size: side of its kernels.

    Shape:
        map ``(B, h, w, dim)`` to the same.

    Raises:
        ConfigError: ``conv_place`` is neither of the two.

    Example:
        >>> import torch
        >>> DepthwiseMLP(8, 32, conv_place="after", residual=True)(torch.zeros(2, 3, 4, 8)).shape
        torch.Size([2, 3, 4, 8])
    """

    def __init__(
        self, dim: int, hidden_dim: int, conv_place: str, residual: bool = False, kernel_size: int = 3
    ) -> None:
        super().__init__()
        if conv_place not in PLACES:
            raise ConfigError(
                f"conv_place={conv_place!r}: the convolution stands 'before' or 'after' the GELU"
            )
        self.conv_place, self.residual = conv_place, residual
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.conv = DepthwiseConv(hidden_dim, kernel_size)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map the channels and mix neighbours."""
        hidden = self.fc1(x)  # (B, h, w, hidden_dim)
        hidden = F.gelu(self._mix(hidden)) if self.conv_place == "before" else self._mix(F.gelu(hidden))
        return self.fc2(hidden)

    def _mix(self, hidden: Tensor) -> Tensor:
        return hidden + self.conv(hidden) if self.residual else self.conv(hidden)
