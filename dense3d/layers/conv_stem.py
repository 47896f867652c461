"""Stems of 3x3 convolutions, which some hierarchical transformers have in place of a patch projection.

Xiao et al., "Early Convolutions Help Transformers See Better", NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn


class ConvStem(nn.Sequential):
    """3x3 convolutions, each with a norm, and a GELU (exact) between one and the next.

    Args:
        in_channels: channels of the images.
        channels: channels after each convolution.
        strides: stride of each convolution.
        norm: makes a norm from a number of channels.
        bias: whether the convolutions have biases.

    Shape:
        ``(B, in_channels, H, W)`` of any size to ``(B, channels[-1], h, w)``, where a stride of 2 gives
        ``ceil(H / 2)``: nothing is left out at the border.

    Example:
        >>> import torch
        >>> ConvStem(3, (4, 4, 8), (2, 1, 2))(torch.zeros(1, 3, 33, 50)).shape
        torch.Size([1, 8, 9, 13])
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        bias: bool = True,
    ) -> None:
        layers: list[nn.Module] = []
        for width, stride in zip(channels, strides):
            if layers:
                layers.append(nn.GELU())
            layers += [nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=bias), norm(width)]
            in_channels = width
        super().__init__(*layers)


class ConvDownsampling(nn.Module):
    """Halve a channels-last map: 3x3 convolution of stride 2, and batch norm.

    Args:
        dim: channels C before.
        out_dim: channels after.

    Shape:
        ``(B, h, w, dim)`` to ``(B, ceil(h / 2), ceil(w / 2), out_dim)``.

    Example:
        >>> import torch
        >>> ConvDownsampling(4, 8)(torch.zeros(1, 5, 6, 4)).shape
        torch.Size([1, 3, 3, 8])
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.reduction = nn.Conv2d(dim, out_dim, 3, 2, padding=1)
        self.norm = nn.BatchNorm2d(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """The map of half the size."""
        return self.norm(self.reduction(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
