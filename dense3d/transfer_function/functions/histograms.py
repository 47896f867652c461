"""Histograms of values, and of values and gradient magnitudes: what transfer functions are drawn on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dense3d.errors import DataError
from dense3d.structures.volume import Volume

PARTS = 16  # that are counted for themselves


@dataclass(frozen=True, eq=False)
class Histogram:
    """Voxels by value.

    Args:
        counts: (N,) int64 in equal bins; the last holds ``high`` itself.
        low: lower end of the first bin.
        high: upper end of the last.
    """

    counts: np.ndarray
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Histogram2D:
    """Voxels by value and gradient magnitude.

    Args:
        counts: (N, G) int64; the last column also holds what is steeper.
        low: lower end of the first bin of values.
        high: upper end of the last.
        steepest: upper end of the gradient bins, value per millimetre; the first starts at 0.
    """

    counts: np.ndarray
    low: float
    high: float
    steepest: float

    def picture(self) -> np.ndarray:
        """(G, N) uint8 with the steepest on top: the logarithm of the counts, 255 for the largest."""
        heights = np.log1p(self.counts)
        return (255 * heights / max(heights.max(), 1e-9)).astype(np.uint8).T[::-1].copy()


def histogram(volume: Volume, bins: int = 256, value_range: tuple[float, float] | None = None) -> Histogram:
    """Count the voxels of a volume.

    Args:
        volume: its values.
        bins: how many, 1 to 65536.
        value_range: ends of the first and last bin, values outside are not counted; from the smallest to the
            largest value unless given.

    Raises:
        DataError: no bins, or a range without a width.

    Example:
        >>> volume = Volume(np.array([0.0, 1.0, 1.0, 2.0]).reshape(4, 1, 1), np.eye(4))
        >>> histogram(volume, bins=2).counts.tolist()
        [1, 3]
    """
    from dense3d.ops.cpu_execution import parallel_for
    from dense3d.transfer_function.functions.histogram_kernels import count_values

    low, high = _range(volume, bins, value_range)
    counts = np.zeros((PARTS, bins), np.int64)
    parallel_for(count_values, PARTS, volume.values, low, bins / (high - low), counts)
    return Histogram(counts.sum(0), low, high)


def histogram_2d(
    volume: Volume,
    bins: int = 256,
    slopes: int = 128,
    value_range: tuple[float, float] | None = None,
    steepest: float | None = None,
) -> Histogram2D:
    """Count the voxels of a volume by value and by gradient magnitude in the world.

    Args:
        volume: its values and spacing.
        bins: of values, 1 to 65536.
        slopes: bins of gradients, 1 to 4096.
        value_range: as in :func:`histogram`.
        steepest: upper end of the gradient bins; half the range over the finest spacing unless given, the
            largest along one axis.

    Raises:
        DataError: no bins, or a range without a width.
    """
    from dense3d.ops.cpu_execution import parallel_for
    from dense3d.transfer_function.functions.histogram_kernels import count_slopes

    low, high = _range(volume, bins, value_range)
    if not 1 <= slopes <= 4096 or bins * slopes > 1 << 22:
        raise DataError(
            f"a histogram of {bins} x {slopes} bins: take 1 to 4096 gradients, 4 million together"
        )
    steepest = steepest or (high - low) / (2 * min(volume.spacing))
    counts = np.zeros((PARTS, bins, slopes), np.int32)
    inverse = np.ascontiguousarray(np.linalg.inv(volume.affine[:3, :3]))
    scales = low, bins / (high - low), slopes / steepest
    parallel_for(count_slopes, PARTS, volume.values, *scales, inverse, counts)
    return Histogram2D(counts.sum(0, dtype=np.int64), low, high, steepest)


def _range(volume: Volume, bins: int, value_range: tuple[float, float] | None) -> tuple[float, float]:
    if not 1 <= bins <= 65536:
        raise DataError(f"a histogram has 1 to 65536 bins, not {bins}")
    if value_range is None:
        low, high = float(volume.values.min()), float(volume.values.max())
        return (low, high) if high > low else (low, low + 1)
    low, high = map(float, value_range)
    if not low < high:
        raise DataError(f"a histogram needs a range of values, not {low:g} to {high:g}")
    return low, high
