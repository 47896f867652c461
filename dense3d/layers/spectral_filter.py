"""Learned filters in the frequency domain: every pixel sees every other, for one product a frequency.

Rao et al., "Global Filter Networks for Image Classification", NeurIPS 2021, eq. 6.
"""

from __future__ import annotations

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError

RESIZINGS = ("kernel", "spectrum")


class GlobalFilter(nn.Module):
    """Circular convolution of each channel with a learned kernel as large as the map.

    The weight is the kernel's spectrum. It belongs to maps of one size and is fitted to others:

    * ``"kernel"``: the kernel in pixels stays what it is. Around its centre it is filled up with zeros for
      larger maps, and cut for smaller ones (:func:`resize_kernel`).
    * ``"spectrum"``: its values are interpolated between the corners (bilinear), as HorNet's official code
      does (:func:`resize_spectrum`).

    Computes in float32 under autocast and for half precision, in whose range spectra do not fit.

    Args:
        channels: C.
        size: rows and columns (h, w) of the maps that the weight is for.
        resizing: ``"kernel"`` or ``"spectrum"``.

    Shape:
        ``(B, C, H, W)`` to the same, in the same type; ``weight``: ``(C, h, w // 2 + 1, 2)``, real and
        imaginary parts.

    Raises:
        ConfigError: no map has this size, or there is no such resizing.

    Example:
        >>> image = torch.randn(1, 2, 6, 7)
        >>> same = GlobalFilter(2, (4, 4))
        >>> _ = same.weight.data.copy_(torch.tensor([1.0, 0.0]))  # a spectrum of ones: one pixel
        >>> torch.allclose(same(image), image, atol=1e-6)
        True
    """

    def __init__(self, channels: int, size: tuple[int, int], resizing: str = "kernel") -> None:
        super().__init__()
        if min(size) < 1:
            raise ConfigError(f"a filter of {size[0]} x {size[1]}: both sides are 1 or more")
        if resizing not in RESIZINGS:
            raise ConfigError(f"resizing={resizing!r} of a filter: use one of {', '.join(RESIZINGS)}")
        self.size, self.resizing = tuple(size), resizing
        self.weight = nn.Parameter(0.02 * torch.randn(channels, size[0], size[1] // 2 + 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """The filtered map."""
        size = x.shape[-2:]
        with single_precision(x):
            spectrum = torch.fft.rfft2(at_least_single(x)) * self.spectrum(size)
            return torch.fft.irfft2(spectrum, s=size).to(x.dtype)

    def spectrum(self, size: tuple[int, int]) -> Tensor:
        """The complex factors ``(C, H, W // 2 + 1)`` of maps of a size."""
        weight = at_least_single(self.weight)
        if self.resizing == "spectrum":
            return torch.view_as_complex(resize_spectrum(weight, (size[0], size[1] // 2 + 1)))
        return resize_kernel(torch.view_as_complex(weight), self.size, size)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, size={self.size}, resizing={self.resizing!r}"


def single_precision(x: Tensor) -> contextlib.AbstractContextManager:
    """No autocast on the device of ``x``."""
    if x.device.type == "meta":
        return contextlib.nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def at_least_single(x: Tensor) -> Tensor:
    """``x`` in float32, if it is of less."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def resize_spectrum(weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear between aligned corners, real and imaginary parts alike.

    Args:
        weight: ``(C, h, w, 2)``.
        size: (H, W), of spectra.

    Returns:
        ``(C, H, W, 2)``.

    Example:
        >>> weight = torch.tensor([0.0, 1.0, 2.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
        >>> resize_spectrum(weight, (5, 2))[0, :, 0, 0].tolist()
        [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    if weight.shape[1:3] == torch.Size(size):
        return weight.contiguous()
    parts = weight.permute(3, 0, 1, 2)  # (2, C, h, w)
    parts = F.interpolate(parts, size=tuple(size), mode="bilinear", align_corners=True)
    return parts.permute(1, 2, 3, 0).contiguous()


def resize_kernel(spectrum: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """The spectrum of the same kernel on maps of another size: filled up with zeros, or cut.

    Offsets that are kept are those from ``-(n // 2)`` to ``(n - 1) // 2`` of the smaller size, the most that
    both have. This interpolates between the frequencies, also across the wrap from the highest to the
    negative ones.

    Args:
        spectrum: complex ``(C, h, w // 2 + 1)``.
        source: (h, w).
        target: (H, W).

    Returns:
        complex ``(C, H, W // 2 + 1)``; the same tensor for the same size.

    Example:
        >>> mean = torch.fft.rfft2(torch.full((1, 3, 3), 1 / 9))  # all offsets from -1 to 1 alike
        >>> larger = torch.fft.irfft2(resize_kernel(mean, (3, 3), (5, 6)), s=(5, 6))
        >>> round(larger.sum().item(), 4), (larger.abs() > 1e-6).sum().item()
        (1.0, 9)
    """
    if tuple(source) == tuple(target):
        return spectrum
    kernel = torch.fft.fftshift(torch.fft.irfft2(spectrum, s=tuple(source)), dim=(-2, -1))
    margins = []
    for old, new in zip(reversed(source), reversed(target)):  # columns, then rows, as F.pad wants them
        before = new // 2 - old // 2
        margins += [before, new - old - before]
    kernel = torch.fft.ifftshift(F.pad(kernel, margins), dim=(-2, -1))
    return torch.fft.rfft2(kernel)
