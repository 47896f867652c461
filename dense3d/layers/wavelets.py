"""One level of the dual-tree complex wavelet transform of maps, and back.

Selesnick et al., "The Dual-Tree Complex Wavelet Transform", IEEE Signal Processing Magazine 2005. At its
first level both trees have the same filters, one pixel apart: the map is split into four bands of its own
size, and 2 x 2 pixels of each of the three high ones are two complex numbers, of orientations that mirror
each other. The filters are biorthogonal and nearly symmetric, of 13 and 19 taps (Kingsbury's
``near_sym_b``).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ORIENTATIONS = (15, 45, 75, 105, 135, 165)  # degrees, in the order of the coefficients
TAPS = 19
# Up to the centre, which is the last number: symmetric.
_LOW = [tap / 5120 for tap in (-9, 0, 114, -240, -247, 1520, 2844)]
_HIGH = [tap / 1146880 for tap in (-81, 0, 1539, -2160, -8208, 27360, 63816, -59280, -343786, 641600)]


def _taps(half: list[float], alternating: bool = False) -> list[float]:
    """All taps, filled up with zeros to the length of the longer filters.

    Synthesis takes the filters of analysis with every second sign changed, counted from the centre.
    """
    if alternating:
        half = [tap * (-1) ** (len(half) - 1 - place) for place, tap in enumerate(half)]
    whole = [*half, *half[-2::-1]]
    margin = [0.0] * ((TAPS - len(whole)) // 2)
    return [*margin, *whole, *margin]


# Low-pass and high-pass, rows of a matrix (2, TAPS).
ANALYSIS = (_taps(_LOW), _taps(_HIGH))
SYNTHESIS = (_taps(_HIGH, alternating=True), _taps(_LOW, alternating=True))


def analyse(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Low band and complex oriented high bands of a map.

    Args:
        x: ``(B, C, H, W)`` of even sides, float32 or float64. Borders are mirrored, the outermost pixel
            twice.

    Returns:
        low ``(B, C, H, W)``; real and imaginary parts of high ``(B, C, 6, H / 2, W / 2)``, by
        :data:`ORIENTATIONS`.

    Example:
        >>> low, real, imaginary = analyse(torch.ones(1, 1, 4, 6))
        >>> round(low.mean().item(), 5), real.abs().max().item() < 1e-6
        (1.0, True)
    """
    across = _filtered(x[:, :, None], ANALYSIS, dim=-1)  # (B, C, 2, H, W): low, high along rows
    bands = _filtered(across, ANALYSIS, dim=-2).unflatten(2, (2, 2))  # across, then down
    (low, low_high), (high_low, high_high) = (band.unbind(2) for band in bands.unbind(2))
    real, imaginary = zip(*(_to_complex(band) for band in (low_high, high_high, high_low)))
    order = (0, 2, 4, 5, 3, 1)  # 15, 45, 75, 105, 135, 165 of the pairs (15, 165), (45, 135), (75, 105)
    parts = (torch.cat(part, dim=2)[:, :, order] for part in (real, imaginary))
    return low, *parts


def synthesise(low: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """The map of which :func:`analyse` gives these bands, if any does.

    Example:
        >>> x = torch.randn(2, 3, 8, 10)
        >>> torch.allclose(synthesise(*analyse(x)), x, atol=1e-5)
        True
    """
    pairs = (0, 5), (1, 4), (2, 3)  # of the low-high, high-high and high-low band
    low_high, high_high, high_low = (
        _to_pixels(*(part[:, :, pair] for part in (real, imaginary))) for pair in pairs
    )
    bands = torch.stack([low, low_high, high_low, high_high], dim=2)  # (B, C, 4, H, W)
    return _summed(_summed(bands, SYNTHESIS, dim=-2), SYNTHESIS, dim=-1)[:, :, 0]


def _to_complex(band: Tensor) -> tuple[Tensor, Tensor]:
    """Squares ``a b / c d`` of ``(B, C, H, W)`` to two numbers: parts ``(B, C, 2, H / 2, W / 2)`` each."""
    a, b, c, d = (band[..., y::2, x::2] * math.sqrt(0.5) for y in (0, 1) for x in (0, 1))
    return torch.stack([a - d, a + d], dim=2), torch.stack([b + c, b - c], dim=2)


def _to_pixels(real: Tensor, imaginary: Tensor) -> Tensor:
    """Two numbers, parts ``(B, C, 2, h, w)``, to squares: ``(B, C, 2 h, 2 w)``."""
    (first, second), (first_i, second_i) = (part.unbind(2) for part in (real, imaginary))
    squares = torch.stack([first + second, first_i + second_i, first_i - second_i, second - first], dim=2)
    batch, channels, _, height, width = squares.shape
    pixels = F.pixel_shuffle(squares.flatten(1, 2) * math.sqrt(0.5), 2)
    return pixels.view(batch, channels, 2 * height, 2 * width)


def _filtered(x: Tensor, filters: tuple[list[float], ...], dim: int) -> Tensor:
    """Each map of ``(B, C, n, H, W)`` by two filters along an axis: ``(B, C, 2 n, H, W)``."""
    maps = _mirrored(x.flatten(1, 2), dim)
    bands = [_depthwise(maps, kernel) for kernel in _kernels(filters, x, dim)]
    return torch.stack(bands, dim=2).unflatten(1, x.shape[1:3]).flatten(2, 3)


def _summed(x: Tensor, filters: tuple[list[float], ...], dim: int) -> Tensor:
    """Neighbouring pairs of ``(B, C, 2 n, H, W)``, each by its filter along an axis: ``(B, C, n, H, W)``."""
    pairs = _mirrored(x.flatten(1, 2), dim).unflatten(1, (-1, 2)).unbind(2)
    first, second = (_depthwise(maps, kernel) for maps, kernel in zip(pairs, _kernels(filters, x, dim)))
    return (first + second).unflatten(1, (x.shape[1], -1))


def _depthwise(maps: Tensor, kernel: Tensor) -> Tensor:
    """All maps ``(B, C, H, W)`` by one kernel; quicker than maps as a batch, backwards by far."""
    return F.conv2d(maps, kernel.expand(maps.shape[1], 1, -1, -1), groups=maps.shape[1])


def _kernels(filters: tuple[list[float], ...], x: Tensor, dim: int) -> Tensor:
    """``(2, k, 1)`` for columns, ``(2, 1, k)`` for rows."""
    kernels = torch.tensor(filters, dtype=x.dtype, device=x.device)
    return kernels[:, None] if dim == -1 else kernels[..., None]


def _mirrored(x: Tensor, dim: int) -> Tensor:
    """An axis with half a filter of mirrored pixels on both sides."""
    size, margin = x.shape[dim], TAPS // 2
    places = torch.arange(-margin, size + margin, device=x.device) % (2 * size)
    return x.index_select(dim, torch.minimum(places, 2 * size - 1 - places))
