"""Where a classification is unsure: by class, by intensity, and the voxel that is most worth a click."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dense3d.transfer_function.measures import MOST_SAMPLES, UNSURE, margins
from dense3d.transfer_function.resolving import resolve

BINS = 64


@dataclass(frozen=True)
class UnsureVoxels:
    """How many voxels hold a class by less than a margin of 0.1, and of what intensity.

    Args:
        by_class: (1 + C,) share of unsure ones among the voxels of each class, the background first, of which
            only voxels with some score count; 0 for a class without voxels.
        edges: (65,) limits of the bins of intensity, the range of the volume.
        counts: (64,) voxels with some score in each.
        unsure: (64,) unsure ones among them.
    """

    by_class: np.ndarray
    edges: np.ndarray
    counts: np.ndarray
    unsure: np.ndarray


def unsure_voxels(scores: np.ndarray, thresholds: np.ndarray, values: np.ndarray) -> UnsureVoxels:
    """Count unsure voxels; of a large volume, those of a lattice of its voxels.

    Args:
        scores: (C, X, Y, Z) uint8.
        thresholds: (C,) 0..1.
        values: (X, Y, Z) intensities.
    """
    lattice = _lattice(values.shape)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    some = scores[(slice(None), *lattice)].any(axis=0)
    chosen = scores[(slice(None), *lattice)][:, some]
    if not chosen.size:
        nothing = np.zeros(BINS, np.int64)
        return UnsureVoxels(np.zeros(1 + len(scores)), edges, nothing, nothing.copy())
    unsure = margins(chosen, thresholds) < 255 * UNSURE
    labels = resolve(chosen, thresholds)
    of_class = np.bincount(labels, minlength=1 + len(scores))
    unsure_of_class = np.bincount(labels[unsure], minlength=1 + len(scores))
    intensity = values[lattice][some]
    counts, of_unsure = (np.histogram(part, edges)[0] for part in (intensity, intensity[unsure]))
    return UnsureVoxels(unsure_of_class / np.maximum(of_class, 1), edges, counts, of_unsure)


def next_click(
    scores: np.ndarray, thresholds: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[int, int, int] | None:
    """The voxel deepest inside of the largest connected part of unsure voxels.

    Args:
        scores: (C, X, Y, Z) uint8.
        thresholds: (C,) 0..1.
        spacing: millimetres between voxels.

    Returns:
        Its index, or None where everything is sure.
    """
    if not len(scores):
        return None
    lattice = _lattice(scores.shape[1:])
    sampled = scores[(slice(None), *lattice)]
    flat = sampled.reshape(len(scores), -1)
    unsure = flat.any(axis=0) & (margins(flat, thresholds) < 255 * UNSURE)
    parts, count = ndimage.label(unsure.reshape(sampled.shape[1:]))
    if not count:
        return None
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())
    box = ndimage.find_objects(parts)[largest - 1]
    depth = ndimage.distance_transform_edt(np.pad(parts[box] == largest, 1), sampling=spacing)
    deepest = np.unravel_index(depth.argmax(), depth.shape)
    return tuple(
        int(step.step * (place - 1 + side.start)) for step, place, side in zip(lattice, deepest, box)
    )


def _lattice(shape: tuple[int, ...]) -> tuple[slice, ...]:
    step = max(1, round((np.prod(shape, dtype=np.int64) / MOST_SAMPLES) ** (1 / 3)))
    return (slice(None, None, step),) * 3
