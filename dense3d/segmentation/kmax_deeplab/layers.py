"""Convolutions, normalisation and resizing as kMaX-DeepLab has them everywhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# deeplab2's batch norm: decay 0.99, epsilon 1e-3.
NORM = dict(eps=1e-3, momentum=0.01)
_CONVOLUTIONS = {1: (nn.Conv1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.BatchNorm2d)}


def batch_norm(channels: int, dims: int = 2, gamma: float = 1.0) -> nn.Module:
    """Batch norm over ``channels`` with kMaX-DeepLab's constants and an initial scale."""
    norm = _CONVOLUTIONS[dims][1](channels, **NORM)
    nn.init.constant_(norm.weight, gamma)
    return norm


@torch.no_grad()
def truncated_normal_(weight: Tensor, std: float) -> Tensor:
    """Fill with a unit normal cut off at 2 deviations and then scaled, as TensorFlow's initialiser does.

    The deviation of the result is 0.88 ``std``.

    Example:
        >>> truncated_normal_(torch.empty(1000), 0.5).abs().max() <= 1
        tensor(True)
    """
    return nn.init.trunc_normal_(weight, a=-2.0, b=2.0).mul_(std)


class ConvNorm(nn.Module):
    """Convolution, batch norm, GELU.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd; the map keeps its size.
        dims: 1 for sequences of queries, 2 for maps.
        depthwise: one filter a channel.
        dilation: spacing of the kernel.
        bias: whether the convolution has a bias beside the norm's.
        act: whether a GELU follows.
        std: of the initial weights; ``sqrt(2 / in_channels)`` unless given, Xavier for depthwise ones.
        gamma: initial scale of the norm.

    Shape:
        ``(B, in_channels, ...)`` to ``(B, out_channels, ...)``.

    Example:
        >>> ConvNorm(4, 6, kernel_size=3)(torch.zeros(2, 4, 5, 7)).shape
        torch.Size([2, 6, 5, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        dims: int = 2,
        depthwise: bool = False,
        dilation: int = 1,
        bias: bool = False,
        act: bool = True,
        std: float | None = None,
        gamma: float = 1.0,
    ) -> None:
        super().__init__()
        self.conv = _CONVOLUTIONS[dims][0](
            in_channels,
            out_channels,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=in_channels if depthwise else 1,
            bias=bias,
        )
        self.norm = batch_norm(out_channels, dims, gamma)
        self.act = act
        if depthwise:
            nn.init.xavier_uniform_(self.conv.weight)
        else:
            truncated_normal_(self.conv.weight, (2 / in_channels) ** 0.5 if std is None else std)
        if bias:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The activated map."""
        x = self.norm(self.conv(x))
        return F.gelu(x) if self.act else x


def folded(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift ``(C,)`` that a batch norm applies in evaluation mode."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def resize(x: Tensor, size: tuple[int, int], odd: int | None = None) -> Tensor:
    """Bilinear resizing; corners stay corners where the deciding size is odd.

    kMaX-DeepLab's input sizes are 32 m + 1, so that pixels of all strides lie on each other when corners are
    aligned; other inputs are resized in the usual way.

    Args:
        x: ``(B, C, h, w)``.
        size: new height and width.
        odd: the size whose parity decides; the width of ``x`` unless given.

    Example:
        >>> resize(torch.tensor([[[[0.0, 1.0, 2.0]]]]), (1, 5)).flatten().tolist()
        [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    deciding = x.shape[-1] if odd is None else odd
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=deciding % 2 == 1)
