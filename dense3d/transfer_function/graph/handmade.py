"""Features by hand at several scales: smoothed values, gradients, curvature, local histograms."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from dense3d.transfer_function.graph.pyramid import Level, pyramid
from dense3d.transfer_function.graph.supervoxels import Supervoxels

BINS = 6
LIMIT = 3.0  # standard deviations; beyond, a feature says no more


def handmade_features(
    intensity: np.ndarray, regions: Supervoxels, spacing: tuple[float, float, float]
) -> np.ndarray:
    """Gaussian scale space at the centres of regions (after Weickert's and Frangi's families of filters).

    At each of four scales the smoothed value, its standard deviation, the gradient's magnitude and the
    eigenvalues of the Hessian (Frangi et al., MICCAI 1998), in units of the scale; local histograms at the
    second; mean and standard deviation inside of the region.

    Args:
        intensity: (X, Y, Z) float32.
        regions: a partition of that grid.
        spacing: millimetres between voxels.

    Returns:
        (R, F) float32, each column with mean 0 and variance 1, cut off at three standard deviations.
    """
    flat = intensity.ravel()
    mean = np.bincount(regions.ids.ravel(), flat, regions.count) / regions.sizes
    square = np.bincount(regions.ids.ravel(), flat * flat, regions.count) / regions.sizes
    columns = [mean, np.sqrt(np.maximum(square - mean**2, 0))]
    levels = pyramid(intensity, spacing)
    for level in levels:
        columns += _differential(level, regions.centres)
    columns += _histogram(levels[1], regions.centres)
    return standardised(np.stack(columns, axis=1))


def standardised(columns: np.ndarray) -> np.ndarray:
    """Each column with mean 0 and variance 1, cut off at three standard deviations; constant ones are 0."""
    deviation = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0)) / np.where(deviation > 1e-9, deviation, np.inf)
    return scaled.clip(-LIMIT, LIMIT).astype(np.float32)


def _differential(level: Level, centres: np.ndarray) -> list[np.ndarray]:
    scale = level.spacing.min() / level.spacing  # one voxel of the finest axis
    values = level.values

    def filtered(image: np.ndarray, *axes: int) -> np.ndarray:
        order = [axes.count(axis) for axis in range(3)]
        unit = np.prod([scale[axis] for axis in axes])
        smooth = ndimage.gaussian_filter(image, scale, order, mode="nearest", truncate=3.0)
        return level.read(smooth, centres) * np.float32(unit)

    smooth = filtered(values)
    spread = np.sqrt(np.maximum(filtered(values * values) - smooth**2, 0))
    slope = np.sqrt(sum(filtered(values, axis) ** 2 for axis in range(3)))
    hessian = np.empty((len(centres), 3, 3), np.float32)
    for a in range(3):
        for b in range(a, 3):
            hessian[:, a, b] = hessian[:, b, a] = filtered(values, a, b)
    return [smooth, spread, slope, *np.linalg.eigvalsh(hessian).T]


def _histogram(level: Level, centres: np.ndarray) -> list[np.ndarray]:
    scale = 2 * level.spacing.min() / level.spacing
    bins = np.linspace(0, 1, BINS)
    return [
        level.read(
            ndimage.gaussian_filter(
                np.maximum(0, 1 - (BINS - 1) * np.abs(level.values - middle)), scale, mode="nearest"
            ),
            centres,
        )
        for middle in bins
    ]
