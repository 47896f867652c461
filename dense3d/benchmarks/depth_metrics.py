"""Suite ``depth-metrics``: all figures of maps beside one formula after another in plain numpy.

The loop is what evaluation scripts of the field do: a mask, then a pass over the pixels for every figure.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.evaluation.depth import (
    PROTOCOLS,
    Tally,
    compare_depth,
    compare_disparity,
    crop_window,
    mean_over_images,
)

GARG, LIMITS = PROTOCOLS["kitti-eigen-garg"], (0.5, 1, 2, 3, 4)


def depth(_device: torch.device, images: int, size: tuple[int, int], density: float) -> Workload:
    """Depth at the ground truth's size, with as many LiDAR points as KITTI has."""
    generator = np.random.default_rng(0)
    truth = (2 + 90 * generator.random((images, *size))).astype(np.float32)
    predicted = truth * np.exp(0.1 * generator.standard_normal(truth.shape)).astype(np.float32)
    truth[generator.random(truth.shape) > density] = 0
    return Workload(
        (), {OURS: partial(_depth, predicted, truth), "loop": partial(_depth_loop, predicted, truth)}
    )


def _depth(predicted: np.ndarray, truth: np.ndarray) -> Tensor:
    tallies = [compare_depth(p, t, GARG).tally for p, t in zip(predicted, truth)]
    return torch.tensor(list(mean_over_images(tallies).values()))


def _depth_loop(predicted: np.ndarray, truth: np.ndarray) -> Tensor:
    rows = []
    for p, t in zip(predicted, truth):
        top, bottom, left, right = crop_window("garg", *t.shape)
        window = np.zeros(t.shape)
        window[top:bottom, left:right] = 1
        mask = np.logical_and(np.logical_and(t > 1e-3, t < 80), window)
        p, t = np.clip(p[mask], 1e-3, 80).astype(np.float64), t[mask].astype(np.float64)
        ratio = np.maximum(t / p, p / t)
        rows.append(
            [
                np.mean(np.abs(t - p) / t),
                np.mean((t - p) ** 2 / t),
                np.sqrt(np.mean((t - p) ** 2)),
                np.sqrt(np.mean((np.log(t) - np.log(p)) ** 2)),
                *(np.mean(ratio < 1.25**k) for k in (1, 2, 3)),
            ]
        )
    return torch.tensor(np.mean(rows, axis=0))


def disparity(_device: torch.device, images: int, size: tuple[int, int]) -> Workload:
    """Dense disparity."""
    generator = np.random.default_rng(0)
    truth = (1 + 90 * generator.random((images, *size))).astype(np.float32)
    predicted = truth + generator.standard_normal(truth.shape).astype(np.float32)
    maps = predicted, truth
    return Workload((), {OURS: partial(_disparity, *maps), "loop": partial(_disparity_loop, *maps)})


def _disparity(predicted: np.ndarray, truth: np.ndarray) -> Tensor:
    protocol = PROTOCOLS["disparity"]
    tallies = [compare_disparity(p, t, protocol).regions["all"] for p, t in zip(predicted, truth)]
    return torch.tensor(list(Tally.joined(tallies).values().values()))


def _disparity_loop(predicted: np.ndarray, truth: np.ndarray) -> Tensor:
    sums, pixels = np.zeros(3 + len(LIMITS)), 0
    for p, t in zip(predicted, truth):
        mask = np.isfinite(t)
        p, t = p[mask].astype(np.float64), t[mask].astype(np.float64)
        sums[0] += np.sum(np.abs(p - t))
        sums[1] += np.sum((p - t) ** 2)
        sums[2] += np.sum((np.abs(p - t) > 3) & (np.abs(p - t) / t > 0.05))
        sums[3:] += [np.sum(np.abs(p - t) > limit) for limit in LIMITS]
        pixels += t.size
    means = sums / pixels * np.array([1, 1, *[100] * (1 + len(LIMITS))])
    means[1] = np.sqrt(means[1])
    return torch.tensor(means)


CASES = [
    Case(
        "depth",
        depth,
        {"20 images of 375 x 1242, LiDAR": {"images": 20, "size": (375, 1242), "density": 0.05}},
        {"images": 2, "size": (40, 60), "density": 0.3},
    ),
    Case(
        "disparity",
        disparity,
        {"20 images of 540 x 960, dense": {"images": 20, "size": (540, 960)}},
        {"images": 2, "size": (40, 60)},
    ),
]
