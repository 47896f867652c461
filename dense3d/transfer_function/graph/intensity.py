"""Intensities on a scale where equal steps are about equally telling, whatever the scanner's units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 4096
SAMPLES = 1 << 20  # voxels that the scale is taken from
PERCENTILES = (0.5, 99.5)
CLIP = 8.0  # a bin counts at most as this many times its even share


@dataclass(frozen=True)
class IntensityScale:
    """A piecewise linear scale of intensities; what lies beyond its ends is 0 or 1.

    Args:
        edges: (4097,) ascending intensities; None for a constant volume, where all is 0.
        values: (4097,) float32 in 0 .. 1, what they become.
    """

    edges: np.ndarray | None
    values: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> IntensityScale:
        """The scale of a volume: the mean of the windowed value and of its rank.

        Soft tissue, a twentieth of the range of a CT, gets a third of the scale, while air, half of all
        voxels, is kept from taking half of it by clipping the histogram (contrast-limited equalisation:
        Pizer et al. 1987, section 4, over the whole volume).

        Args:
            values: (X, Y, Z) of an integer or floating type.
        """
        sample = values.reshape(-1)[:: max(1, values.size // SAMPLES)].astype(np.float64)
        low, high = np.percentile(sample, PERCENTILES)
        if not high > low:
            low, high = float(sample.min()), float(sample.max())
        if not high > low:
            return cls(None, np.zeros(BINS + 1, np.float32))
        counts, edges = np.histogram(np.clip(sample, low, high), bins=BINS, range=(low, high))
        counts = np.minimum(counts, CLIP * counts.sum() / BINS)
        rank = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
        return cls(edges, (0.5 * rank + 0.5 * np.linspace(0, 1, BINS + 1)).astype(np.float32))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values of any shape on this scale, float32 in 0 .. 1."""
        out = np.zeros(values.shape, np.float32)
        if self.edges is None:
            return out
        parts = zip(values, out) if values.ndim > 1 else [(values, out)]  # float64 copies would be large
        for part, scaled in parts:
            scaled[:] = np.interp(part.astype(np.float64), self.edges, self.values)
        return out


def normalised(values: np.ndarray) -> np.ndarray:
    """Values windowed by percentiles and half equalised, by their own :class:`IntensityScale`.

    Args:
        values: (X, Y, Z) of an integer or floating type.

    Returns:
        (X, Y, Z) float32 in 0 .. 1; zero everywhere for a constant volume.

    Example:
        >>> normalised(np.array([[[5, 5]]])).ravel().tolist()
        [0.0, 0.0]
    """
    return IntensityScale.of(values)(values)
