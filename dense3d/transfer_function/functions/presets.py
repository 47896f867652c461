"""Transfer functions to start with: Hounsfield units for CT, shares of the values for what has no unit.

Air is -1000 HU, lung -900 to -600, fat -100, water 0, muscle and organs 30 to 70, blood with contrast medium
150 to 500, spongy bone 150 to 400, compact bone 600 to 2000, metal above 2500.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dense3d.errors import DataError, did_you_mean
from dense3d.structures.volume import Volume
from dense3d.transfer_function.functions.curves import TransferFunction
from dense3d.transfer_function.windows import modality_of, thinned

# name -> colours (value, red, green, blue) and opacities (value, opacity), in Hounsfield units
HOUNSFIELD: dict[str, tuple[list, list]] = {
    "CT bone": (
        [(-1000, 0.4, 0.2, 0.15), (120, 0.62, 0.32, 0.22), (300, 0.87, 0.74, 0.55), (900, 0.97, 0.94, 0.86)],
        [(-1000, 0), (140, 0), (260, 0.22), (700, 0.55), (1600, 0.85)],
    ),
    "CT soft tissue": (
        [
            (-150, 0.86, 0.72, 0.5),
            (-20, 0.85, 0.5, 0.38),
            (50, 0.76, 0.27, 0.22),
            (160, 0.92, 0.72, 0.6),
            (500, 1, 1, 0.94),
        ],
        [(-1000, 0), (-20, 0), (40, 0.06), (110, 0.12), (220, 0.35), (900, 0.7)],
    ),
    "CT skin": (
        [(-600, 0.55, 0.35, 0.28), (-200, 0.9, 0.7, 0.58), (100, 0.96, 0.82, 0.72)],
        [(-1000, 0), (-650, 0), (-350, 0.5), (0, 0.9)],
    ),
    "CT lung": (
        [
            (-1000, 0.2, 0.3, 0.5),
            (-850, 0.45, 0.62, 0.82),
            (-600, 0.85, 0.72, 0.72),
            (-300, 0.9, 0.45, 0.4),
            (100, 1, 0.95, 0.9),
        ],
        [(-1000, 0), (-930, 0), (-860, 0.03), (-700, 0.06), (-450, 0.14), (-150, 0.02), (60, 0), (3000, 0)],
    ),
    "CT vessels": (
        [(100, 0.5, 0.08, 0.06), (200, 0.8, 0.16, 0.1), (350, 0.95, 0.5, 0.3), (700, 1, 0.95, 0.85)],
        [(-1000, 0), (120, 0), (190, 0.2), (320, 0.55), (600, 0.7)],
    ),
}
# name -> the same with, in place of values, percentiles of the voxels above the background
PERCENTILES: dict[str, tuple[list, list]] = {
    "MR": (
        [(0, 0.1, 0.1, 0.15), (40, 0.45, 0.35, 0.32), (75, 0.78, 0.66, 0.58), (99, 1, 0.97, 0.92)],
        [(0, 0), (25, 0), (55, 0.05), (85, 0.25), (99, 0.6)],
    ),
    "MR vessels": (
        [(90, 0.55, 0.1, 0.08), (98, 0.85, 0.25, 0.15), (99.8, 1, 0.85, 0.7)],
        [(0, 0), (94, 0), (98, 0.12), (99.5, 0.6)],
    ),
    "generic": (
        [(0, 0.12, 0.18, 0.4), (35, 0.2, 0.55, 0.6), (70, 0.9, 0.75, 0.4), (99.5, 1, 0.97, 0.9)],
        [(0, 0), (20, 0), (60, 0.06), (90, 0.3), (99.5, 0.7)],
    ),
}


def preset_names(volume: Volume) -> tuple[str, ...]:
    """Presets that suit a volume, the best first."""
    modality = modality_of(volume)[0]
    if modality == "CT":
        return (*HOUNSFIELD, "generic")
    return ("MR", "MR vessels", "generic") if modality == "MR" else ("generic", "MR", "MR vessels")


def preset(name: str, volume: Volume) -> TransferFunction:
    """A preset for a volume.

    Args:
        name: in :data:`HOUNSFIELD` or :data:`PERCENTILES`.
        volume: whose percentiles count; best at its working resolution.

    Raises:
        DataError: there is no such preset.
    """
    if name in HOUNSFIELD:
        return _function(name, *HOUNSFIELD[name], lambda values: values)
    if name not in PERCENTILES:
        known = [*HOUNSFIELD, *PERCENTILES]
        hint = did_you_mean(name, known) or f"; there are: {', '.join(known)}"
        raise DataError(f"no transfer function is named {name!r}{hint}")
    seen = above_background(volume.values)
    return _function(name, *PERCENTILES[name], lambda shares: np.percentile(seen, shares))


def _function(name: str, colors: list, opacities: list, place: Callable) -> TransferFunction:
    points = [np.array(rows, float) for rows in (colors, opacities)]
    for rows in points:
        rows[:, 0] = place(rows[:, 0])
    return TransferFunction(*points, name=name)


def above_background(values: np.ndarray) -> np.ndarray:
    """(N,) values above air or padding, of about a million voxels: the upper class of Otsu's threshold on the
    lower half of the range, all of them where that finds nothing."""
    sample = thinned(values).astype(np.float64)
    low, high = np.percentile(sample, (0.5, 99.5))
    if not high > low:
        return sample
    counts, edges = np.histogram(sample, 256, (low, high))
    weight = counts.cumsum()
    mean = (counts * (edges[:-1] + edges[1:]) / 2).cumsum()
    inner = slice(0, 128)
    others = np.maximum(weight[-1] - weight[inner], 1)
    between = (
        (mean[-1] * weight[inner] / weight[-1] - mean[inner]) ** 2 / np.maximum(weight[inner], 1) / others
    )
    seen = sample[sample > edges[int(np.argmax(between)) + 1]]
    return seen if len(seen) > 0.001 * len(sample) else sample
