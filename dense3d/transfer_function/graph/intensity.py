"""Intensities on a scale where equal steps are about equally telling, whatever the scanner's units."""

from __future__ import annotations

import numpy as np

BINS = 4096
SAMPLES = 1 << 20  # voxels that the scale is taken from
PERCENTILES = (0.5, 99.5)
CLIP = 8.0  # a bin counts at most as this many times its even share


def normalised(values: np.ndarray) -> np.ndarray:
    """Values windowed by percentiles and half equalised.

    The mean of the windowed value and of its rank: soft tissue, a twentieth of the range of a CT, gets a
    third of the scale, while air, half of all voxels, is kept from taking half of it by clipping the
    histogram (contrast-limited equalisation: Pizer et al. 1987, section 4, over the whole volume).

    Args:
        values: (X, Y, Z) of an integer or floating type.

    Returns:
        (X, Y, Z) float32 in 0 .. 1; zero everywhere for a constant volume.

    Example:
        >>> normalised(np.array([[[5, 5]]])).ravel().tolist()
        [0.0, 0.0]
    """
    sample = values.reshape(-1)[:: max(1, values.size // SAMPLES)].astype(np.float64)
    low, high = np.percentile(sample, PERCENTILES)
    if not high > low:
        low, high = float(sample.min()), float(sample.max())
    if not high > low:
        return np.zeros(values.shape, np.float32)
    counts, edges = np.histogram(np.clip(sample, low, high), bins=BINS, range=(low, high))
    counts = np.minimum(counts, CLIP * counts.sum() / BINS)
    rank = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    scale = (0.5 * rank + 0.5 * np.linspace(0, 1, BINS + 1)).astype(np.float32)
    out = np.empty(values.shape, np.float32)
    for i in range(values.shape[0]):  # slab by slab: float64 copies of a whole volume would be large
        out[i] = np.interp(values[i].astype(np.float64), edges, scale)
    return out
