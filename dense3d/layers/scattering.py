"""Mixing of pixels in a wavelet basis."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.spectral_filter import at_least_single, single_precision
from dense3d.layers.wavelets import analyse, synthesise

GROUPS = 4


class ScatteringMixer(nn.Module):
    """Gate the low band of a map pixel by pixel, and mix the channels of its oriented high bands.

    Patro and Agneeswaran, "Scattering Vision Transformer: Spectral Mixing Matters", NeurIPS 2023. Bands are
    those of a dual-tree complex wavelet transform (:mod:`dense3d.layers.wavelets`); computes in float32 under
    autocast. The gate belongs to maps of one size and is resized to others (bicubic); of maps with an odd
    side the last row or column is repeated and cut off again.

    Args:
        dim: channels, a multiple of 4.
        size: rows and columns of the maps that the gate is for.

    Shape:
        ``(B, H, W, dim)`` to the same, in the same type.

    Raises:
        ConfigError: channels that four groups cannot share.

    Example:
        >>> ScatteringMixer(8, (4, 4))(torch.zeros(1, 5, 6, 8)).shape
        torch.Size([1, 5, 6, 8])
    """

    def __init__(self, dim: int, size: tuple[int, int]) -> None:
        super().__init__()
        if dim % GROUPS:
            raise ConfigError(f"{dim} channels cannot be shared by {GROUPS} groups; choose a multiple")
        self.low = nn.Parameter(0.02 * torch.randn(dim, *size))
        self.high = ComplexGroupMLP(dim, GROUPS)

    def forward(self, x: Tensor) -> Tensor:
        """The mixed map."""
        height, width = x.shape[1:3]
        with single_precision(x):
            maps = at_least_single(x).permute(0, 3, 1, 2)
            if height % 2 or width % 2:
                maps = F.pad(maps, (0, width % 2, 0, height % 2), mode="replicate")
            low, real, imaginary = analyse(maps)
            mixed = synthesise(low * self.gate(low.shape[-2:]), *self.high(real, imaginary))
            return mixed[..., :height, :width].permute(0, 2, 3, 1).to(x.dtype)

    def gate(self, size: tuple[int, int]) -> Tensor:
        """Factors ``(dim, H, W)`` of the low band of maps of a size."""
        gate = at_least_single(self.low)
        if gate.shape[1:] == torch.Size(size):
            return gate
        return F.interpolate(gate[None], size=tuple(size), mode="bicubic", align_corners=False)[0]


class ComplexGroupMLP(nn.Module):
    """Complex affine map of each group of channels, ReLU of both parts, and another affine map.

    Args:
        dim: channels.
        groups: G, neighbouring channels make one.

    Shape:
        parts ``(B, dim, 6, h, w)`` to the same; weights ``(2, G, dim / G, dim / G)``, rows of inputs, and
        biases ``(2, G, dim / G)``: real, imaginary.

    Example:
        >>> x = torch.zeros(1, 8, 6, 2, 3)
        >>> ComplexGroupMLP(8, 4)(x, x)[1].shape
        torch.Size([1, 8, 6, 2, 3])
    """

    def __init__(self, dim: int, groups: int) -> None:
        super().__init__()
        self.groups, width = groups, dim // groups
        self.weight1 = nn.Parameter(0.02 * torch.randn(2, groups, width, width))
        self.weight2 = nn.Parameter(0.02 * torch.randn(2, groups, width, width))
        self.bias1 = nn.Parameter(0.02 * torch.randn(2, groups, width))
        self.bias2 = nn.Parameter(0.02 * torch.randn(2, groups, width))

    def forward(self, real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts."""
        parts = torch.stack([real, imaginary], dim=1).unflatten(2, (self.groups, -1))
        batch, _, groups, width, *places = parts.shape
        x = parts.permute(2, 1, 3, 0, 4, 5, 6).reshape(groups, 2 * width, -1)  # (G, 2 d, B * 6 h w)
        x = torch.baddbmm(_column(self.bias1), _matrix(self.weight1), x).relu()
        x = torch.baddbmm(_column(self.bias2), _matrix(self.weight2), x)
        x = x.view(groups, 2, width, batch, *places).permute(1, 3, 0, 2, 4, 5, 6)
        return tuple(x.flatten(2, 3).unbind(0))


def _matrix(weight: Tensor) -> Tensor:
    """The real matrices ``(G, 2 d, 2 d)`` that multiply columns of stacked parts as ``weight`` does rows."""
    real, imaginary = at_least_single(weight).mT
    return torch.cat([torch.cat([real, -imaginary], dim=2), torch.cat([imaginary, real], dim=2)], dim=1)


def _column(bias: Tensor) -> Tensor:
    """``(2, G, d)`` to ``(G, 2 d, 1)``."""
    return at_least_single(bias).transpose(0, 1).flatten(1)[..., None]
