"""Convolutions and filters of the research backbones step by step, see :mod:`.backbone_attentions`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.spectformer import SpectralGate
from dense3d.benchmarks.backbone_attentions import Steps
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.gated_convolution import GatedConv, GlobalLocalFilter
from dense3d.layers.hyena import HyenaOperator
from dense3d.layers.scattering import ScatteringMixer
from dense3d.layers.spectral_filter import at_least_single, resize_spectrum, single_precision
from dense3d.layers.wavelets import ANALYSIS, SYNTHESIS


def _pixelwise(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer as the convolution of 1 x 1 that it is officially, ``(B, C, h, w)``."""
    return F.conv2d(x, layer.weight[..., None, None], layer.bias)


def _gated(self: GatedConv, x: Tensor) -> Tensor:
    """HorNet: channels first throughout."""
    fused = _pixelwise(self.proj_in, x.permute(0, 3, 1, 2))
    gated, rest = torch.split(fused, (self.widths[0], sum(self.widths)), dim=1)
    parts = torch.split(self.filter(rest) * self.scale, self.widths, dim=1)
    gated = gated * parts[0]
    for step, part in zip(self.steps, parts[1:]):
        gated = _pixelwise(step, gated) * part
    return _pixelwise(self.proj_out, gated).permute(0, 2, 3, 1)


def _channel_norm(norm: ChannelLayerNorm, x: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    x = (x - mean) / torch.sqrt(variance + norm.eps)
    return norm.weight[:, None, None] * x + norm.bias[:, None, None]


def _global_local(self: GlobalLocalFilter, x: Tensor) -> Tensor:
    """HorNet with global filters: half of the channels each, interleaved."""
    local, wide = torch.chunk(_channel_norm(self.pre_norm, x), 2, dim=1)
    local, size = self.local(local), wide.shape[2:]
    with single_precision(wide):
        spectrum = torch.fft.rfft2(at_least_single(wide), dim=(2, 3), norm="ortho")
        weight = resize_spectrum(self.spectral.weight, spectrum.shape[2:])
        spectrum = spectrum * torch.view_as_complex(weight)
        wide = torch.fft.irfft2(spectrum, s=size, dim=(2, 3), norm="ortho")
    both = torch.cat([local.unsqueeze(2), wide.to(local.dtype).unsqueeze(2)], dim=2)
    return _channel_norm(self.post_norm, both.reshape(x.shape))


def _spectral_gate(self: SpectralGate, x: Tensor) -> Tensor:
    """SpectFormer: transforms along rows and columns of a map with the channels last."""
    if not hasattr(self, "channels_last"):  # the weight as it lies in official files, h, w, C
        self.channels_last = nn.Parameter(self.weight.detach().permute(1, 2, 0, 3).contiguous())
    with single_precision(x):
        spectrum = torch.fft.rfft2(at_least_single(x), dim=(1, 2), norm="ortho")
        spectrum = spectrum * torch.view_as_complex(self.channels_last)
        return torch.fft.irfft2(spectrum, s=x.shape[1:3], dim=(1, 2), norm="ortho").to(x.dtype)


def _hyena(self: HyenaOperator, parts: Tensor) -> Tensor:
    """Hyena: kernels and signals to spectra of twice the side, one convolution after the other."""
    *factors, value = torch.split(parts.permute(0, 3, 1, 2), self.dim, dim=1)
    kernels = self.filter(value.shape[2:])
    size = [2 * side for side in value.shape[2:]]
    for number, factor in enumerate(reversed(factors[1:])):
        value = value * factor
        backwards = self.direction == "seq" and number == 0
        value = torch.flip(value, dims=(2, 3)) if backwards else value
        with single_precision(value):
            signal = at_least_single(value)
            of_kernel = torch.fft.rfft2(kernels[number], s=size) / math.sqrt(size[0] * size[1])
            of_signal = torch.fft.rfft2(signal, s=size)
            y = torch.fft.irfft2(of_signal * of_kernel, s=size)[..., : signal.shape[2], : signal.shape[3]]
            value = (y + signal * self.filter.bias[number][:, None, None]).to(value.dtype)
        value = torch.flip(value, dims=(2, 3)) if backwards else value
    return (value * factors[0]).permute(0, 2, 3, 1)


def _along(x: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    """Every channel of ``(B, C, h, w)`` by one filter along an axis, borders mirrored."""
    margin, side, channels = len(taps) // 2, x.shape[dim], x.shape[1]
    places = torch.arange(-margin, side + margin, device=x.device) % (2 * side)
    x = x.index_select(dim, torch.minimum(places, 2 * side - 1 - places))
    kernel = torch.tensor(taps, dtype=x.dtype, device=x.device)
    kernel = kernel[:, None] if dim == 2 else kernel[None]
    return F.conv2d(x, kernel.expand(channels, 1, -1, -1), groups=channels)


def _quads(band: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
    band = band / math.sqrt(2)
    a, b = band[..., 0::2, 0::2], band[..., 0::2, 1::2]
    c, d = band[..., 1::2, 0::2], band[..., 1::2, 1::2]
    return (a - d, b + c), (a + d, b - c)


def _pixels(first: Tensor, second: Tensor) -> Tensor:
    """Two complex numbers, parts in the last axis, to squares of pixels."""
    real, imaginary = first[..., 0] + second[..., 0], first[..., 1] + second[..., 1]
    band = first.new_zeros(*real.shape[:-2], 2 * real.shape[-2], 2 * real.shape[-1])
    band[..., 0::2, 0::2], band[..., 0::2, 1::2] = real, imaginary
    band[..., 1::2, 0::2] = first[..., 1] - second[..., 1]
    band[..., 1::2, 1::2] = second[..., 0] - first[..., 0]
    return band / math.sqrt(2)


def _scattering(self: ScatteringMixer, x: Tensor) -> Tensor:
    """SVT: six filtered maps, quads, a complex network of four products by einsum, six filtered maps."""
    dtype, (height, width) = x.dtype, x.shape[1:3]
    with single_precision(x):
        maps = at_least_single(x).permute(0, 3, 1, 2)
        maps = F.pad(maps, (0, width % 2, 0, height % 2), mode="replicate")
        low, high = ANALYSIS
        by_low, by_high = _along(maps, low, 3), _along(maps, high, 3)
        bands = _along(by_low, high, 2), _along(by_high, high, 2), _along(by_high, low, 2)  # LH, HH, HL
        first, second = zip(*(_quads(band) for band in bands))
        parts = [torch.stack(pair, dim=-1) for pair in (*first, *reversed(second))]
        parts = _complex_network(self.high, torch.stack(parts, dim=2))  # (B, C, 6, h / 2, w / 2, 2)
        gated = _along(by_low, low, 2) * self.gate(maps.shape[2:])
        low, high = SYNTHESIS
        bands = (_pixels(parts[:, :, i], parts[:, :, 5 - i]) for i in range(3))
        low_high, high_high, high_low = bands
        y = _along(_along(high_high, high, 2) + _along(high_low, low, 2), high, 3)
        y = y + _along(_along(low_high, high, 2) + _along(gated, low, 2), low, 3)
        return y[..., :height, :width].permute(0, 2, 3, 1).to(dtype)


def _complex_network(network: nn.Module, x: Tensor) -> Tensor:
    """Parts ``(B, C, 6, h, w, 2)`` to the same."""
    groups = network.groups
    parts = [part.permute(0, 2, 3, 4, 1).unflatten(-1, (groups, -1)) for part in x.unbind(-1)]
    layers = (
        (network.weight1, network.bias1, torch.relu),
        (network.weight2, network.bias2, lambda part: part),
    )
    for weight, bias, activation in layers:
        real, imaginary = parts
        parts = [
            torch.einsum("...gd,gdk->...gk", real, weight[0])
            - torch.einsum("...gd,gdk->...gk", imaginary, weight[1])
            + bias[0],
            torch.einsum("...gd,gdk->...gk", real, weight[1])
            + torch.einsum("...gd,gdk->...gk", imaginary, weight[0])
            + bias[1],
        ]
        parts = [activation(part) for part in parts]
    return torch.stack([part.flatten(-2).permute(0, 4, 1, 2, 3) for part in parts], dim=-1)


FILTERS: Steps = {
    GatedConv: ("forward", _gated),
    GlobalLocalFilter: ("forward", _global_local),
    SpectralGate: ("forward", _spectral_gate),
    HyenaOperator: ("convolve", _hyena),
    ScatteringMixer: ("forward", _scattering),
}
