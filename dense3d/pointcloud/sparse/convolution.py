"""Convolutions on sparse voxels. Weights lie as the released ones do: ``(out, kx, ky, kz, in)``.

Submanifold convolutions have outputs where there are inputs; the kernel of the strided one and of its inverse
is as wide as the stride, so that each finer voxel meets one coarser voxel through one tap.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dense3d.ops import ConvRules, sparse_conv
from dense3d.pointcloud.sparse.levels import Halving, SparseLevel


class _SparseConvLayer(nn.Module):
    """Weight, bias and initial values, which are uniform within 1 / sqrt(fan_in) as torch's are.

    Args:
        in_channels, out_channels: of the features.
        bias: whether a learned vector is added.
    """

    kernel_size: int

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, *[self.kernel_size] * 3, in_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        bound = 1 / math.sqrt(in_channels * self.kernel_size**3)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def _convolved(self, features: Tensor, rules: ConvRules) -> Tensor:
        out = sparse_conv(features, self.weight.flatten(1, 3), rules)
        return out if self.bias is None else out + self.bias.to(out.dtype)

    def extra_repr(self) -> str:
        out, *kernel, channels = self.weight.shape
        return f"{channels}, {out}, kernel_size={kernel[0]}, bias={self.bias is not None}"


class SubmanifoldConv(_SparseConvLayer):
    """3x3x3 convolution whose outputs are where the inputs are: ``out[p] = sum_k W[k] in[p + k - 1]``.

    Shape:
        ``(V, in_channels)`` on a level to ``(V, out_channels)``.

    Example:
        >>> level = SparseLevel(torch.tensor([[0, 0, 0], [0, 0, 1], [7, 7, 7]]))
        >>> SubmanifoldConv(4, 6)(torch.zeros(3, 4), level).shape
        torch.Size([3, 6])
    """

    kernel_size = 3

    def forward(self, features: Tensor, level: SparseLevel) -> Tensor:
        """Features ``(V, in_channels)`` of a level."""
        return self._convolved(features, level.cube_rules)


class DownConv(_SparseConvLayer):
    """2x2x2 convolution with stride 2 onto the parents.

    Shape:
        ``(V, in_channels)`` on the finer level to ``(num_parents, out_channels)``.
    """

    kernel_size = 2

    def forward(self, features: Tensor, halving: Halving) -> Tensor:
        """Features ``(V, in_channels)`` of the finer level of a halving."""
        return self._convolved(features, halving.down_rules)


class UpConv(_SparseConvLayer):
    """The inverse of :class:`DownConv`: ``fine = W[tap] coarse[parent]``.

    Shape:
        ``(num_parents, in_channels)`` to ``(V, out_channels)`` on the finer level.
    """

    kernel_size = 2

    def forward(self, features: Tensor, halving: Halving) -> Tensor:
        """Features ``(num_parents, in_channels)`` of the coarser level of a halving."""
        return self._convolved(features, halving.up_rules)
