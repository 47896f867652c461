"""Hyena in two dimensions: gated convolutions with learned kernels as large as the map.

Zimerman and Wolf, "Multi-Dimensional Hyena for Spatial Inductive Bias", AISTATS 2024 (arXiv:2309.13600),
after Poli et al., "Hyena Hierarchy", ICML 2023; official code: Itamarzimm/HyenaND.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.depthwise_mlp import DepthwiseConv
from dense3d.layers.hyena_filter import FreeFilter, HyenaFilter
from dense3d.layers.spectral_filter import at_least_single, single_precision

DIRECTIONS = ("standard", "seq", "parallel", "4dir", "4dirp")
_FLIPS = ((), (1, 2), (2,), (1,))  # axes of (B, h, w, C), of the four directions


class HyenaOperator(nn.Module):
    """Mixes the pixels of a map: products of projections, filtered over the quadrant above and to the left.

    With projections ``x_0 ... x_(order - 1)`` and v, each through a depthwise 3 x 3 convolution:
    ``v = conv_n(v * x_i) + bias_n * v * x_i`` for i from ``order - 1`` down to 1, then ``v * x_0`` projected.
    Kernels come from a small network of sines (:class:`HyenaFilter`) or are free (:class:`FreeFilter`), and
    are stretched to maps of other sizes. Convolutions run in float32 under autocast.

    Args:
        dim: channels C.
        side: side of the square maps that the kernels are for.
        order: number of products, 2 or more.
        direction: ``"standard"``; ``"seq"``, the first convolution over the lower right quadrant instead;
            ``"parallel"``, four independent sets of convolved projections, joined at the end; ``"4dir"``, the
            map flipped four ways, mixed by one weight a way; ``"4dirp"``, mixed by a linear layer.
        free_filter: whether kernels are free numbers instead of a network's.
        filter_options: further arguments of :class:`HyenaFilter`.

    Shape:
        ``(B, h, w, C)`` to the same.

    Raises:
        ConfigError: no such direction, an order below 2, or options that the filter does not know.

    Example:
        >>> HyenaOperator(8, side=4, hidden_dim=16)(torch.zeros(2, 3, 5, 8)).shape
        torch.Size([2, 3, 5, 8])
    """

    def __init__(
        self,
        dim: int,
        side: int,
        order: int = 2,
        direction: str = "standard",
        free_filter: bool = False,
        **filter_options,
    ) -> None:
        super().__init__()
        if direction not in DIRECTIONS:
            raise ConfigError(
                f"direction={direction!r} of Hyena{did_you_mean(direction, DIRECTIONS)}: "
                f"there are {', '.join(DIRECTIONS)}"
            )
        if order < 2:
            raise ConfigError(f"order={order} of Hyena: give 2 or more, or nothing is convolved")
        if free_filter and filter_options:
            raise ConfigError(
                f"a free filter of Hyena has no options, but {', '.join(filter_options)} is given"
            )
        self.dim, self.order, self.direction = dim, order, direction
        copies = 4 if direction == "parallel" else 1
        inner = dim * (order + 1)
        self.in_proj = nn.Linear(dim, inner)
        self.short_filter = DepthwiseConv(inner) if copies == 1 else SpreadingConv(inner, copies)
        kernels = order - 1
        self.filter = (
            FreeFilter(kernels, dim, side)
            if free_filter
            else HyenaFilter(kernels, dim, side, **filter_options)
        )
        self.mix = None
        if direction in ("4dir", "4dirp"):
            self.mix = nn.Linear(4, 1) if direction == "4dir" else nn.Linear(4 * dim, dim)
        self.out_proj = nn.Linear(copies * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """The mixed map."""
        parts = self.short_filter(self.in_proj(x))  # (B, h, w, inner)
        if self.direction == "parallel":  # of 4 * inner channels
            ways = parts.unflatten(-1, (4, -1)).movedim(-2, 0)
        elif self.mix is not None:
            ways = torch.stack([parts.flip(axes) for axes in _FLIPS])
        else:
            return self.out_proj(self.convolve(parts))
        mixed = self.convolve(ways.flatten(0, 1)).unflatten(0, (4, -1))
        return self.out_proj(self._join(mixed))

    def convolve(self, parts: Tensor) -> Tensor:
        """Products and convolutions of projections: ``(B, h, w, (order + 1) C)`` to ``(B, h, w, C)``."""
        *factors, value = parts.movedim(-1, 1).split(self.dim, dim=1)  # (B, C, h, w) each
        kernels = self.filter(value.shape[-2:])  # (order - 1, C, h, w)
        for number, factor in enumerate(reversed(factors[1:])):
            backwards = self.direction == "seq" and number == 0
            value = value * factor
            value = value.flip(-2, -1) if backwards else value
            value = quadrant_convolution(value, kernels[number], self.filter.bias[number])
            value = value.flip(-2, -1) if backwards else value
        return (value * factors[0]).movedim(1, -1)

    def _join(self, ways: Tensor) -> Tensor:
        """Four maps ``(4, B, h, w, C)`` to one."""
        if self.mix is None:
            return ways.movedim(0, -2).flatten(-2)  # (B, h, w, 4 * C)
        back = torch.stack([way.flip(axes) for way, axes in zip(ways, _FLIPS)], dim=-1)  # (B, h, w, C, 4)
        return self.mix(back).squeeze(-1) if self.direction == "4dir" else self.mix(back.flatten(-2))


class SpreadingConv(nn.Conv2d):
    """Depthwise 3 x 3 convolution that makes several channels of each, next to each other.

    Shape:
        ``(B, h, w, C)`` to ``(B, h, w, copies * C)``.

    Example:
        >>> SpreadingConv(4, 2)(torch.zeros(1, 3, 5, 4)).shape
        torch.Size([1, 3, 5, 8])
    """

    def __init__(self, dim: int, copies: int) -> None:
        super().__init__(dim, copies * dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; the channels stay last."""
        return super().forward(x.movedim(-1, 1)).movedim(1, -1)


def quadrant_convolution(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """``y[i, j] = sum of kernel[a, b] x[i - a, j - b] over a <= i, b <= j``, scaled, and ``bias * x``.

    The sum is divided by the root of the size of the transforms, 2h and 2w: by 2 L of square maps of side L,
    as the official code does.

    Args:
        x: ``(B, C, h, w)``.
        kernel: ``(C, h, w)``.
        bias: ``(C,)``.

    Example:
        >>> ones = torch.ones(1, 1, 2, 2)
        >>> quadrant_convolution(ones, torch.ones(1, 2, 2), torch.zeros(1)).mul(4).flatten().tolist()
        [1.0, 2.0, 2.0, 4.0]
    """
    height, width = x.shape[-2:]
    size = (2 * height, 2 * width)
    with single_precision(x):
        single, kernel = at_least_single(x), at_least_single(kernel)
        product = torch.fft.rfft2(single, s=size) * torch.fft.rfft2(kernel, s=size)
        y = torch.fft.irfft2(product, s=size)[..., :height, :width] / math.sqrt(size[0] * size[1])
        return (y + single * at_least_single(bias)[:, None, None]).to(x.dtype)
