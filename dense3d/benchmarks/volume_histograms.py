"""Histograms of volumes in the suite ``volumes``, beside NumPy's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dense3d.benchmarks.ops_rays import phantom
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.structures.volume import Volume
from dense3d.transfer_function.functions.histograms import histogram, histogram_2d

BINS, SLOPES = 256, 128


def _volume(count: int) -> Volume:
    noise = torch.rand((count,) * 3, generator=torch.Generator().manual_seed(0))
    return Volume(((phantom(count) + 0.05 * noise) * 1000).numpy().astype(np.int16), np.eye(4))


def values(_device: torch.device, count: int) -> Workload:
    """Voxels by value."""
    volume = _volume(count)
    ends = float(volume.values.min()), float(volume.values.max())
    contenders = {
        OURS: lambda: torch.from_numpy(histogram(volume, BINS).counts),
        "numpy.histogram": lambda: torch.from_numpy(np.histogram(volume.values, BINS, ends)[0]),
    }
    return Workload((), contenders)


def values_and_slopes(_device: torch.device, count: int) -> Workload:
    """Voxels by value and gradient magnitude."""
    volume = _volume(count)
    low, high = float(volume.values.min()), float(volume.values.max())
    steepest = (high - low) / 2

    def peer() -> Tensor:
        padded = np.pad(volume.values.astype(np.float32), 1, mode="edge")
        inner = slice(1, -1)
        differences = [
            (padded[2:, inner, inner] - padded[:-2, inner, inner]) / 2,
            (padded[inner, 2:, inner] - padded[inner, :-2, inner]) / 2,
            (padded[inner, inner, 2:] - padded[inner, inner, :-2]) / 2,
        ]
        size = np.sqrt(sum(one**2 for one in differences)).ravel().clip(max=steepest)
        ends = [(low, high), (0, steepest)]
        return torch.from_numpy(np.histogram2d(volume.values.ravel(), size, (BINS, SLOPES), ends)[0])

    contenders = {
        OURS: lambda: torch.from_numpy(histogram_2d(volume, BINS, SLOPES).counts),
        "numpy.histogram2d": peer,
    }
    return Workload((), contenders)


CASES = [
    Case("histogram", values, {"256^3 voxels": {"count": 256}}, {"count": 12}),
    Case("histogram_2d", values_and_slopes, {"256^3 voxels": {"count": 256}}, {"count": 12}),
]
