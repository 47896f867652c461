"""Recall of class-agnostic proposals, mmdet's ``proposal_fast``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def proposal_recall(
    truth: Sequence[np.ndarray],
    proposals: Sequence[np.ndarray],
    limits: Sequence[int],
    thresholds: np.ndarray,
) -> np.ndarray:
    """Share of the objects that the best proposals of their image cover, mean over overlaps.

    Pairs of object and proposal are formed greedily, the one of the highest overlap first.

    Args:
        truth: (G_i, 4) boxes x1, y1, x2, y2 in pixels of each image.
        proposals: (P_i, 4) of each image, the best first.
        limits: (L,) how many proposals of an image count.
        thresholds: (T,) overlaps from which on an object is covered.

    Returns:
        (L,) recall in 0 .. 1, NaN where there is no object.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
        >>> proposal_recall([boxes], [boxes], (1, 2), np.array([0.5])).tolist()
        [0.5, 1.0]
    """
    from mmdet.evaluation.functional import bbox_overlaps

    most = max(limits)
    overlaps = [bbox_overlaps(t, p[:most]) for t, p in zip(truth, proposals)]  # each (G_i, P_i)
    if not sum(map(len, truth)):
        return np.full(len(limits), np.nan)
    recalls = []
    for limit in limits:
        best = np.concatenate([_greedy(one[:, :limit]) for one in overlaps])  # (G,)
        recalls.append((best[:, None] >= thresholds).mean(axis=0).mean())
    return np.array(recalls)


def _greedy(overlaps: np.ndarray) -> np.ndarray:
    """Overlap (G,) of each object with its proposal, 0 for objects that get none."""
    objects, proposals = overlaps.shape
    best, left = np.zeros(objects, overlaps.dtype), overlaps.copy()
    for _ in range(min(objects, proposals)):
        row, column = np.unravel_index(left.argmax(), left.shape)
        best[row] = left[row, column]
        left[row, :], left[:, column] = -1, -1
    return best
