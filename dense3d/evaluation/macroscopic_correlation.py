"""Macroscopic correlation of the boxes of an image (Relation-DETR, arXiv 2407.11699)."""

from __future__ import annotations

import numpy as np

# What to expect of four independent numbers of one normal distribution a box: less their mean they are
# directions in three dimensions, and there the cosine of two is uniform.
UNRELATED = 0.5


def macroscopic_correlation(boxes: np.ndarray) -> float:
    """Mean absolute Pearson correlation between the boxes of one image.

    Every box is a sample of four numbers; with R the n x n matrix of correlations, MC is
    ``(sum |R| - n) / (n (n - 1))``, between 0 and 1. A box of four equal numbers correlates with none.

    Args:
        boxes: ``(n, 4)`` xywh in pixels.

    Returns:
        MC, NaN for fewer than two boxes.

    Example:
        >>> round(macroscopic_correlation(np.array([[10, 20, 30, 40], [20, 40, 60, 80]])), 6)
        1.0
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    number = len(boxes)
    if number < 2:
        return float("nan")
    centred = boxes - boxes.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1e-12)
    correlation = np.abs(unit @ unit.T)
    np.fill_diagonal(correlation, 0)
    return float(correlation.sum() / (number * (number - 1)))
