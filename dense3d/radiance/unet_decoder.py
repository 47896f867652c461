"""Decoders of radiance grids: from the maps of an encoder back to voxels.

Hatamizadeh et al., "UNETR", WACV 2022, as NeRF-MAE (arXiv:2404.01300) uses it; and its plain one, which sees
the coarsest map alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError

PLAIN_WIDTHS = (512, 256, 128)


class ResidualBlock3D(nn.Module):
    """Two 3x3x3 convolutions around a shortcut, with instance norms that learn nothing.

    The statistics are always those of the grid itself, in evaluation too. A 1x1x1 convolution is on the
    shortcut where the channels change.

    Args:
        in_channels, out_channels: of the input and the output.

    Example:
        >>> ResidualBlock3D(4, 6)(torch.rand(1, 4, 5, 3, 2)).shape
        torch.Size([1, 6, 5, 3, 2])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv3d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, X, Y, Z)`` -> ``(B, out_channels, X, Y, Z)``."""
        out = F.leaky_relu(instance_norm(self.conv1(x)), 0.01)
        out = instance_norm(self.conv2(out))
        return F.leaky_relu(out + (x if self.shortcut is None else instance_norm(self.shortcut(x))), 0.01)


class UpBlock3D(nn.Module):
    """A transposed convolution, the map beside it where there is a skip, and a residual block.

    Args:
        in_channels, out_channels: of the input and the output; a skip has those of the output.
        factor: by which the sides grow, the kernel and the stride of the transposed convolution.
        skip: whether a map comes in from the side.
    """

    def __init__(self, in_channels: int, out_channels: int, factor: int = 2, skip: bool = True) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(in_channels, out_channels, factor, factor)
        self.block = ResidualBlock3D(out_channels * (2 if skip else 1), out_channels)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """``(B, in_channels, X, Y, Z)`` -> ``(B, out_channels, factor * X, ...)``, or of the skip's sides."""
        x = self.up(x)
        if skip is not None:
            x = torch.cat([x[:, :, : skip.shape[2], : skip.shape[3], : skip.shape[4]], skip], dim=1)
        return self.block(x)


class UNetDecoder3D(nn.Module):
    """From the coarsest of an encoder's maps to the finest, each with the next finer one as a skip.

    Args:
        channels: of the maps, finest first.

    Example:
        >>> sides = [(6, 5, 4), (3, 3, 2), (2, 2, 1)]
        >>> maps = [torch.rand(1, 4 * 2**i, *side) for i, side in enumerate(sides)]
        >>> UNetDecoder3D([4, 8, 16])(maps).shape
        torch.Size([1, 4, 6, 5, 4])
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.depth = len(channels)
        for number in range(len(channels), 1, -1):
            self.add_module(f"up{number}", UpBlock3D(channels[number - 1], channels[number - 2]))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The finest map's sides and channels."""
        x = maps[-1]
        for number in range(self.depth, 1, -1):
            x = getattr(self, f"up{number}")(x, maps[number - 2])
        return x


class PlainDecoder3D(nn.Module):
    """Convolutions and up-sampling on the coarsest map, whose last layer gives a patch of voxels a token.

    The older decoder of the released code, which its script for super-resolution still chooses.

    Args:
        in_channels: of the map.
        patch_size: P, voxels of a patch along an axis.
        out_channels: of a voxel.
        last_factor: a further stage of 64 channels that grows the sides by this factor; None for none.
        upsample: of the other stages, ``"nearest"``, or ``"trilinear"`` as in the older pre-training.

    Shape:
        ``(B, in_channels, X, Y, Z)`` -> ``(B, out_channels, 8 P X, 8 P Y, 8 P Z)``, times the last factor.

    Raises:
        ConfigError: an unknown way of up-sampling.

    Example:
        >>> PlainDecoder3D(8, 2, 4, last_factor=1.5)(torch.rand(1, 8, 1, 1, 1)).shape
        torch.Size([1, 4, 24, 24, 24])
    """

    def __init__(
        self,
        in_channels: int,
        patch_size: int,
        out_channels: int,
        last_factor: float | None = None,
        upsample: str = "nearest",
    ) -> None:
        super().__init__()
        if upsample not in ("nearest", "trilinear"):
            raise ConfigError(f"upsample={upsample!r}: use 'nearest' or 'trilinear'")
        self.patch_size, self.out_channels, self.last_factor = patch_size, out_channels, last_factor
        self.mode = dict(mode=upsample, **({"align_corners": False} if upsample == "trilinear" else {}))
        widths = [in_channels, *PLAIN_WIDTHS, *([64] if last_factor else [])]
        self.convs = nn.ModuleList(nn.Conv3d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.predict = nn.Conv3d(widths[-1], out_channels * patch_size**3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Voxels ``(B, out_channels, ...)`` of a map ``(B, in_channels, X, Y, Z)``."""
        for number, conv in enumerate(self.convs):
            x = F.leaky_relu(instance_norm(conv(x)), 0.2)
            if number < len(PLAIN_WIDTHS):
                x = F.interpolate(x, scale_factor=2, **self.mode)
            else:
                x = F.interpolate(x, scale_factor=self.last_factor, mode="nearest")
        side = self.patch_size
        x = self.predict(x).unflatten(1, (side, side, side, self.out_channels))  # (B, p, q, r, C, X, Y, Z)
        return x.permute(0, 4, 5, 1, 6, 2, 7, 3).flatten(6, 7).flatten(4, 5).flatten(2, 3)


def instance_norm(x: Tensor) -> Tensor:
    """Each channel of each grid with mean 0 and variance 1; a map of a single voxel becomes 0.

    Example:
        >>> instance_norm(torch.rand(1, 2, 1, 1, 1)).flatten().tolist()
        [0.0, 0.0]
    """
    if x.shape[2:].numel() == 1:  # torch refuses it
        return x - x
    return F.instance_norm(x, eps=1e-5)
