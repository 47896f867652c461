"""The convolutional branch beside a plain ViT: maps at strides 4, 8, 16 and 32.

Chen et al., "Vision Transformer Adapter for Dense Predictions", ICLR 2023, section 3.2.
"""

from __future__ import annotations

from torch import Tensor, nn


class ConvolutionalStem(nn.Module):
    """Strided 3x3 convolutions with synchronised batch norm and ReLU; a 1x1 convolution brings each to D.

    Args:
        width: channels at stride 4; stride 8 has twice, strides 16 and 32 four times as many.
        dim: output channels, D.
        in_channels: channels of the images.

    Shape:
        images ``(B, in_channels, H, W)`` -> four maps ``(B, D, H / s, W / s)``, s = 4, 8, 16, 32.

    Example:
        >>> import torch
        >>> [tuple(f.shape) for f in ConvolutionalStem(4, 6).eval()(torch.zeros(1, 3, 64, 32))]
        [(1, 6, 16, 8), (1, 6, 8, 4), (1, 6, 4, 2), (1, 6, 2, 1)]
    """

    def __init__(self, width: int, dim: int, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_convolution(in_channels, width, stride=2),
            *_convolution(width, width),
            *_convolution(width, width),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.conv2 = nn.Sequential(*_convolution(width, 2 * width, stride=2))
        self.conv3 = nn.Sequential(*_convolution(2 * width, 4 * width, stride=2))
        self.conv4 = nn.Sequential(*_convolution(4 * width, 4 * width, stride=2))
        self.fc1 = nn.Conv2d(width, dim, 1)
        self.fc2 = nn.Conv2d(2 * width, dim, 1)
        self.fc3 = nn.Conv2d(4 * width, dim, 1)
        self.fc4 = nn.Conv2d(4 * width, dim, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four maps."""
        c1 = self.stem(images)
        c2 = self.conv2(c1)
        c3 = self.conv3(c2)
        c4 = self.conv4(c3)
        return self.fc1(c1), self.fc2(c2), self.fc3(c3), self.fc4(c4)


def _convolution(channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.SyncBatchNorm(out_channels),
        nn.ReLU(inplace=True),
    ]
