"""How the time of the research backbones' mixers grows with the image, beside softmax attention.

Every mixer runs alone on one map of stride 8 with 64 channels, in float32 and forwards. Its growth is the
exponent of its time in the number of tokens: 1 is linear, 2 quadratic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor, nn

from dense3d.backbones.crossformer import CrossFormerBlock
from dense3d.backbones.ppma import CrissCrossAttention
from dense3d.backbones.rmt import FactoredDecayAttention, decays_along, head_decays
from dense3d.backbones.spectformer import SpectralGate
from dense3d.backbones.t2t_vit import TokenPerformer
from dense3d.backbones.tnt import SplitAttention
from dense3d.backbones.uniformer import ConvBlock
from dense3d.backbones.window_attention import SwinAttention
from dense3d.benchmarks.timing import Clock, seconds_of
from dense3d.files import atomic_write
from dense3d.layers.attention import SelfAttention
from dense3d.layers.convolutional_projection import ConvolutionalAttention
from dense3d.layers.decay_attention import flat_rotation
from dense3d.layers.gated_convolution import GatedConv
from dense3d.layers.gated_unit import GatedUnit
from dense3d.layers.hyena import HyenaOperator
from dense3d.layers.metaformer import mixer
from dense3d.layers.retention import Retention
from dense3d.layers.scattering import ScatteringMixer
from dense3d.layers.significance_attention import GuidedAttention
from dense3d.layers.softmax_free_attention import SoftmaxFreeAttention
from dense3d.layers.strip_attention import StripAttention

SIDES = (224, 320, 448, 640, 800, 1024)
STRIDE, DIM, HEADS = 8, 64, 2
SOFTMAX = "softmax attention"
_PRETRAINED = 28  # tokens on a side of the maps that filters are for
_LANDMARKS = 7  # on a side, as SOFT has them in pre-training

Run = Callable[[Tensor], Tensor]
Timings = dict[str, dict[int, float]]  # mixer -> side of the image -> seconds


def _on_map(module: nn.Module, *arguments: object) -> Run:
    """Of channels-last maps ``(1, n, n, C)``."""
    return lambda x: module(x, *arguments)


def _channels_first(module: nn.Module) -> Run:
    return lambda x: module(x.permute(0, 3, 1, 2))


def _on_tokens(module: nn.Module, *arguments: object) -> Run:
    return lambda x: module(x.flatten(1, 2), *arguments)


def _rmt(side: int) -> Run:
    along = decays_along(head_decays(HEADS, 2, 4), side)
    rotation = flat_rotation((side, side), DIM // HEADS)
    return _on_map(FactoredDecayAttention(DIM, HEADS), rotation, along, along)


def _crossformer(side: int) -> Run:
    block = CrossFormerBlock(DIM, HEADS, 7, 4, 4.0, True, None, 0.0, cooling=False)
    return block.attend


def _soft(side: int, ratio: int) -> Run:
    return _on_tokens(SoftmaxFreeAttention(DIM, HEADS, ratio, kernel=5), (side, side))


def _sgformer(side: int) -> Run:
    attention = GuidedAttention(DIM, HEADS, reduction=4)
    significance = torch.rand(1, side * side)
    return lambda x: attention(x, significance)[0]


def _tnt(side: int) -> Run:
    """16 words of 24 channels in each token."""
    words = torch.randn(side * side, 16, 24)
    attention = SplitAttention(24, 4)
    return lambda x: attention(words)


def _duoformer(side: int) -> Run:
    """Regions of 32 pixels with 85 tokens of all scales."""
    regions = (side * STRIDE // 32) ** 2
    tokens = torch.randn(regions, 85, DIM)
    attention = SelfAttention(DIM, HEADS)
    return lambda x: attention(tokens)


# Name -> what a map of a side is mixed by. Of a family that attends to all tokens it is softmax attention.
MIXERS: dict[str, Callable[[int], Run]] = {
    SOFTMAX: lambda side: _on_tokens(SelfAttention(DIM, HEADS)),
    "CvT, coarser keys": lambda side: _on_tokens(ConvolutionalAttention(DIM, HEADS), (side, side)),
    "S2AFormer, strips": lambda side: _on_map(StripAttention(DIM, HEADS, reduction=4)),
    "SG-Former, merged tokens": _sgformer,
    "SOFT, a landmark per 16 tokens": lambda side: _soft(side, 4),
    "SOFT, 49 landmarks": lambda side: _soft(side, side // _LANDMARKS),
    "RMT, rows and columns": _rmt,
    "PPMA, rows and columns": lambda side: _on_map(
        CrissCrossAttention(DIM, HEADS), flat_rotation((side, side), DIM // HEADS)
    ),
    "T2T-ViT, performer": lambda side: _on_tokens(TokenPerformer(DIM, DIM)),
    "ViR, chunks": lambda side: _on_tokens(Retention(DIM, HEADS, "chunkwise")),
    "CrossFormer, far groups": _crossformer,
    "CoSwin, windows": lambda side: _on_map(SwinAttention(DIM, [7, 7], [3, 3], HEADS)),
    "TNT, words": _tnt,
    "DuoFormer, scales": _duoformer,
    "SpectFormer, global filter": lambda side: _on_map(SpectralGate(DIM, (_PRETRAINED,) * 2)),
    "HorNet, global filters": lambda side: _on_map(GatedConv(DIM, 3, filter_size=(28, 15))),
    "Hyena": lambda side: _on_map(HyenaOperator(DIM, _PRETRAINED)),
    "SVT, wavelets": lambda side: _on_map(ScatteringMixer(DIM, (_PRETRAINED,) * 2)),
    "HorNet": lambda side: _on_map(GatedConv(DIM, 3)),
    "UniFormer, local block": lambda side: _channels_first(ConvBlock(DIM, 4.0, 0.0)),
    "ConvFormer": lambda side: _channels_first(mixer("conv", DIM)),
    "PoolFormer": lambda side: _channels_first(mixer("pool", DIM)),
    "Activator": lambda side: _on_map(GatedUnit(DIM, 2 * DIM)),
}


def time_scaling(
    mixers: Sequence[str],
    sides: Sequence[int],
    device: torch.device,
    repeats: int = 3,
    threads: int | None = None,
    clock: Clock | None = None,
) -> Timings:
    """Median seconds of mixers on maps of images.

    Args:
        mixers: names in :data:`MIXERS`.
        sides: of the images in pixels.
        device: where to run.
        repeats: timings of each.
        threads: of torch on a CPU.
        clock: gives seconds; wall time unless given.

    Example:
        >>> found = time_scaling(["PoolFormer"], (32, 64), torch.device("cpu"), repeats=1)
        >>> list(found), list(found["PoolFormer"])
        (['PoolFormer'], [32, 64])
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    seconds: Timings = {name: {} for name in mixers}
    try:
        for side in sides:
            count = side // STRIDE
            with torch.device(device):
                torch.manual_seed(0)
                x = torch.randn(1, count, count, DIM)
                runs = {name: MIXERS[name](count) for name in mixers}
            for name, run in runs.items():
                seconds[name][side] = seconds_of(partial(run, x), device, repeats, clock)
    finally:
        torch.set_num_threads(before)
    return seconds


def growth(seconds: dict[int, float]) -> float:
    """Exponent s of time in the number of tokens, which a line through the logarithms has.

    Example:
        >>> round(growth({224: 1.0, 448: 16.0}), 3)  # four times the tokens, 16 times as long
        2.0
    """
    tokens = [2 * np.log(side) for side in seconds]
    return float(np.polyfit(tokens, np.log(list(seconds.values())), 1)[0])


def growths(seconds: Timings) -> list[str]:
    """A line a mixer: its growth, and its time at both ends."""
    lines = ["time of one layer grows as tokens ** s: 1 is linear, 2 quadratic (stride 8, 64 channels)"]
    for name, times in seconds.items():
        first, last = min(times), max(times)
        ends = ", ".join(f"{1e3 * times[side]:.3g} ms at {side}" for side in (first, last))
        lines.append(f"{name:32}  s = {growth(times):.2f}   {ends}")
    return lines


def draw_scaling(seconds: Timings, file: str | Path) -> Path:
    """Draw time over the size of images, as png; growths stand in the legend."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes, colours = figure.subplots(), colormaps["tab20"]
    for index, (name, times) in enumerate(seconds.items()):
        line = dict(color=colours(index % 19), linewidth=1.3, linestyle=("-", "--", "-.", ":")[index % 4])
        style = dict(color="black", linewidth=3) if name == SOFTMAX else line
        style |= dict(marker="os^vD"[index % 5], markersize=4)
        label = f"{name} ({growth(times):.2f})"
        axes.loglog(list(times), [1e3 * value for value in times.values()], label=label, **style)
    axes.set(xlabel="side of the image in pixels", ylabel="milliseconds of a layer, one image")
    sides = sorted({side for times in seconds.values() for side in times})
    axes.set_xticks(sides, [str(side) for side in sides])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.set_title("time grows as tokens to the power of (...)", fontsize=10)
    figure.legend(loc="outside right upper", fontsize=8)
    with atomic_write(file, "wb") as stream:
        figure.savefig(stream, format="png", dpi=110)
    return Path(file)
