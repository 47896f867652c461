"""Kernels of Hyena: of a small network that reads positions, or free."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.spectral_filter import at_least_single, single_precision

WINDOWS = ("standard", "learn", "symettric", "no")  # as the official code spells them
_FAST, _SLOW, _TARGET = 0.3, 1.5, 0.01  # the window falls to the target after these parts of a side


class HyenaFilter(nn.Module):
    """Kernels from a network of sines that reads where a pixel lies, under a window that fades.

    Zimerman and Wolf, AISTATS 2024, section 3.2. Positions are learned vectors of rows and columns, which
    start from ``t, cos(f w), -sin(f w)`` with t from 0 to 1 and w from 0 to 2 pi. For maps of another size,
    vectors are interpolated and the window is stretched. The sines share one learned frequency.

    Args:
        kernels: number of kernels, K.
        dim: channels of each, C.
        side: number of positions of the learned vectors, L.
        hidden_dim: channels of the network.
        separable: whether a kernel is the product of a network of rows and one of columns.
        window: ``"standard"``, ``exp(-(t_row + t_col) * d)`` with d of each channel fixed; ``"learn"``, with
            d and an additional constant learned; ``"symettric"``, learned alike for rows and columns and
            counted in pixels; ``"no"``.
        sqrt_decay: whether the window is the root of that; not of separable kernels.
        position_dim: length of the vectors, odd.
        hidden_layers: of the network, with as many channels in as out.
        frequency: the sines' at first.

    Shape:
        size (h, w) to ``(K, C, h, w)``, float32 or float64.

    Raises:
        ConfigError: no such window, a symmetric one of separable kernels, or an even ``position_dim``.

    Example:
        >>> HyenaFilter(1, 8, 4, hidden_dim=16)((3, 5)).shape
        torch.Size([1, 8, 3, 5])
    """

    def __init__(
        self,
        kernels: int,
        dim: int,
        side: int,
        hidden_dim: int = 64,
        separable: bool = True,
        window: str = "standard",
        sqrt_decay: bool = False,
        position_dim: int = 3,
        hidden_layers: int = 2,
        frequency: float = 1.0,
    ) -> None:
        super().__init__()
        if window not in WINDOWS:
            raise ConfigError(
                f"window={window!r} of Hyena{did_you_mean(window, WINDOWS)}: there are {', '.join(WINDOWS)}"
            )
        if separable and (window == "symettric" or sqrt_decay):
            setting = "window='symettric'" if window == "symettric" else "sqrt_decay"
            raise ConfigError(f"{setting} of Hyena is of kernels that are not separable")
        if position_dim < 3 or position_dim % 2 == 0:
            raise ConfigError(f"position_dim={position_dim} of Hyena: give an odd number of 3 or more")
        channels = kernels * dim
        self.kernels, self.side, self.separable = kernels, side, separable
        self.window, self.sqrt_decay = window, sqrt_decay
        self.positions = nn.Parameter(_positions(side, position_dim))
        self.frequency = nn.Parameter(torch.full((hidden_dim,), float(frequency)))
        widths = [position_dim if separable else 2 * position_dim, *[hidden_dim] * (hidden_layers + 1)]
        self.networks = nn.ModuleList(
            nn.ModuleList(
                [
                    *(nn.Linear(a, b) for a, b in pairwise(widths)),
                    nn.Linear(hidden_dim, channels, bias=False),
                ]
            )
            for _ in range(1 + separable)
        )
        self._build_window(channels)
        self.bias = nn.Parameter(torch.randn(kernels, dim))

    def _build_window(self, channels: int) -> None:
        """Decays ``(2, K C)`` of rows and columns, or ``(1, K C)`` of both, and what is added."""
        if self.window == "no":
            return
        decays = torch.linspace(math.log(_TARGET) / _SLOW, math.log(_TARGET) / _FAST, channels)
        decays = decays.repeat(1 if self.window == "symettric" else 2, 1)
        if self.window == "standard":
            self.register_buffer("decays", decays)
        else:
            self.decays = nn.Parameter(decays)
            self.shift = nn.Parameter(torch.rand(2 if self.separable else 1, channels))

    def forward(self, size: tuple[int, int]) -> Tensor:
        """The kernels of maps of a size."""
        with single_precision(self.positions):
            rows, columns = (self._resized(length) for length in size)  # (h, e), (w, e)
            if self.separable:
                row, column = (self._network(i, x) for i, x in enumerate((rows, columns)))
                row, column = (x * self._fading(i, len(x)) for i, x in enumerate((row, column)))
                kernels = row[:, None] * column  # (h, w, K C)
            else:
                grid = (size[0], size[1], -1)
                pairs = torch.cat([rows[:, None].expand(grid), columns[None].expand(grid)], dim=-1)
                kernels = self._network(0, pairs) * self._joint_window(size)
            return kernels.unflatten(-1, (self.kernels, -1)).permute(2, 3, 0, 1)

    def _resized(self, length: int) -> Tensor:
        """Vectors of ``length`` positions from the first to the last, ``(length, e)``."""
        positions = at_least_single(self.positions)
        if length == self.side:
            return positions
        return F.interpolate(positions.t()[None], size=length, mode="linear", align_corners=True)[0].t()

    def _network(self, number: int, x: Tensor) -> Tensor:
        *hidden, last = self.networks[number]
        for layer in hidden:
            x = F.linear(x, at_least_single(layer.weight), at_least_single(layer.bias))
            x = torch.sin(at_least_single(self.frequency) * x)
        return F.linear(x, at_least_single(last.weight))

    def _decay(self, number: int, length: int, last: float) -> Tensor:
        """``exp(-t d)`` with t from 0 to ``last``, ``(length, K C)``."""
        decays = at_least_single(self.decays)[number].abs()
        places = torch.linspace(0, last, length, dtype=decays.dtype, device=decays.device)
        return torch.exp(-places[:, None] * decays)

    def _fading(self, number: int, length: int) -> Tensor | float:
        """The window of rows or columns of separable kernels."""
        if self.window == "no":
            return 1.0
        decay = self._decay(number, length, 1.0)
        return decay + at_least_single(self.shift)[number] if self.window == "learn" else decay

    def _joint_window(self, size: tuple[int, int]) -> Tensor | float:
        """The window of all pixels, ``(h, w, K C)``."""
        if self.window == "no":
            return 1.0
        alike = self.window == "symettric"
        last = self.side - 1 if alike else 1
        row, column = self._decay(0, size[0], last), self._decay(0 if alike else 1, size[1], last)
        window = row[:, None] * column
        window = window.sqrt() if self.sqrt_decay else window
        return window if self.window == "standard" else window + at_least_single(self.shift)[0]


class FreeFilter(nn.Module):
    """Kernels of free numbers, stretched to maps of another size (bilinear between the corners).

    Args:
        kernels: number of kernels, K.
        dim: channels of each, C.
        side: of the square maps that they are for.

    Shape:
        size (h, w) to ``(K, C, h, w)``.

    Example:
        >>> FreeFilter(1, 8, 4)((3, 5)).shape
        torch.Size([1, 8, 3, 5])
    """

    def __init__(self, kernels: int, dim: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernels, dim, side, side))
        self.bias = nn.Parameter(torch.randn(kernels, dim))

    def forward(self, size: tuple[int, int]) -> Tensor:
        """The kernels of maps of a size."""
        weight = at_least_single(self.weight)
        if weight.shape[-2:] == torch.Size(size):
            return weight
        return F.interpolate(weight, size=tuple(size), mode="bilinear", align_corners=True)


def _positions(side: int, dim: int) -> Tensor:
    """``(side, dim)``: t, cosines, and sines with the other sign."""
    bands = (dim - 1) // 2
    angles = 2 * math.pi * torch.arange(side) / side
    phases = torch.linspace(1e-4, bands - 1, bands) * angles[:, None]
    return torch.cat([torch.linspace(0, 1, side)[:, None], phases.cos(), -phases.sin()], dim=1)
