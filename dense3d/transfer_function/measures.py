"""Figures of a classification: sizes in millilitres, where it is unsure, agreement with a reference."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

MOST_SAMPLES = 4_000_000  # voxels that the histogram of margins looks at
UNSURE = 0.1  # margin below which a voxel counts as unsure


@dataclass(frozen=True)
class Uncertainty:
    """How sure a classification is.

    The margin of a voxel is by how much a score would have to change for its class to change, 0..1: the best
    score over the next best one and over the threshold; for background, what the nearest class lacks.

    Args:
        counts: (64,) voxels by margin, from 0 to 1. Voxels without any score are left out.
        unsure: share of them with a margin below 0.1.
    """

    counts: np.ndarray
    unsure: float


def voxel_counts(
    labels: np.ndarray, shape: tuple[int, int, int], factors: tuple[int, int, int]
) -> np.ndarray:
    """(256,) voxels of the full grid under each label of the working grid, whose last blocks may be cut.

    Args:
        labels: (X, Y, Z) uint8 on the working grid.
        shape: of the full grid.
        factors: full voxels in a working one.
    """
    total = np.zeros(256, np.int64)
    parts = [((slice(0, n // f), f), (slice(n // f, None), n % f)) for n, f in zip(shape, factors)]
    for (x, width), (y, depth), (z, height) in itertools.product(*parts):
        if width * depth * height:
            for slab in labels[x]:  # counting needs eight bytes a voxel
                total += width * depth * height * np.bincount(slab[y, z].ravel(), minlength=256)
    return total


def margins(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """By how much a score of each voxel would have to change for its class to change (:class:`Uncertainty`).

    Args:
        scores: (C, N) uint8 of at least one class.
        thresholds: (C,) 0..1.

    Returns:
        (N,) int16, 0..255.

    Example:
        >>> margins(np.array([[200, 90], [150, 120]], np.uint8), np.array([0.5, 0.5])).tolist()
        [50, 7]
    """
    scores = scores.astype(np.int16)
    over = scores - np.array([int(255 * threshold) for threshold in thresholds], np.int16)[:, None]
    holding = np.where(over > 0, scores, np.int16(-1))
    best = holding.argmax(0)[None]
    score = np.take_along_axis(scores, best, 0)[0]
    has_class = np.take_along_axis(holding, best, 0)[0] >= 0
    over_threshold = np.take_along_axis(over, best, 0)[0]
    np.put_along_axis(holding, best, -1, 0)
    inside = np.minimum(over_threshold, score - np.maximum(holding.max(0), 0))
    return np.where(has_class, inside, -over.max(0)).clip(0, 255)


def uncertainty(scores: np.ndarray, thresholds: np.ndarray) -> Uncertainty:
    """The histogram of margins; of a large volume, that of a lattice of its voxels.

    Args:
        scores: (C, X, Y, Z) uint8.
        thresholds: (C,) 0..1.
    """
    if not len(scores):
        return Uncertainty(np.zeros(64, np.int64), 0.0)
    step = max(1, round((scores[0].size / MOST_SAMPLES) ** (1 / 3)))
    sampled = scores[:, ::step, ::step, ::step].reshape(len(scores), -1)
    sampled = sampled[:, sampled.any(0)]
    if not sampled.size:
        return Uncertainty(np.zeros(64, np.int64), 0.0)
    margin = margins(sampled, thresholds)
    counts = np.bincount(margin // 4, minlength=64)[:64]
    return Uncertainty(counts, float((margin < 255 * UNSURE).mean()))


def dice(labels: np.ndarray, reference: np.ndarray, label: int, reference_label: int) -> float | None:
    """Twice the voxels in common over the voxels of both; None where neither has any.

    Example:
        >>> dice(np.array([1, 1, 0]), np.array([0, 2, 2]), 1, 2)
        0.5
    """
    first, second = labels == label, reference == reference_label
    both = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / both if both else None
