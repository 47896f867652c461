"""Weights of the graph's edges."""

from __future__ import annotations

import numpy as np

from dense3d.transfer_function.graph.adjacency import Adjacency

CONTRAST = 100.0  # an intensity step of the whole scale divides a weight by exp(100)
LEARNING_CONTRAST = 50.0  # the same for the walks that features are learnt from
JOINED_CONTRASTS = 70.0, 4.0  # of intensity and of learnt features, where there are both
FLOOR = 1e-6  # smallest weight beside that of regions without any step


def edge_weights(
    touching: Adjacency, means: np.ndarray, learnt: np.ndarray | None = None, contrast: float = CONTRAST
) -> np.ndarray:
    """``area (exp(-a (|difference of means| + step at the border / 2) - b (1 - cosine)) + floor)``.

    Args:
        touching: E pairs of regions.
        means: (R,) mean intensity of each region.
        learnt: (R, F) features of length 1, whose cosine counts as well.
        contrast: ``a`` where nothing was learnt.

    Returns:
        (E,) float64, where contacts of mean area without a step have 1.
    """
    first, second = touching.pairs.T
    step = np.abs(means[first] - means[second]) + 0.5 * touching.step
    exponent = contrast * step
    if learnt is not None:
        of_intensity, of_learnt = JOINED_CONTRASTS
        exponent = of_intensity * step + of_learnt * (
            1 - np.einsum("ef,ef->e", learnt[first], learnt[second])
        )
    area = touching.area / max(float(np.mean(touching.area)) if len(touching.area) else 0.0, 1e-30)
    return area * (np.exp(-exponent) + FLOOR)
