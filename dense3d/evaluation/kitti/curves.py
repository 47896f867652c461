"""From matches to precision at 41 recall positions and average precision.

Andreas Geiger et al., "Are we ready for autonomous driving? The KITTI vision benchmark suite", CVPR 2012;
40 points after Simonelli et al., "Disentangling monocular 3D object detection", ICCV 2019.
"""

from __future__ import annotations

import numpy as np

from dense3d.evaluation.kitti.protocol import RECALL_POINTS


def score_thresholds(scores: np.ndarray, ground_truths: int) -> np.ndarray:
    """Scores at which recall comes nearest to 0, 1/40, 2/40 ...

    Args:
        scores: of the true positives found without a threshold, in any order.
        ground_truths: how many there are to find.

    Returns:
        at most 41 scores, falling. With fewer than 40 ground truths every score is kept, and the curve is
        squeezed to the left: the k-th true positive stands at position k although its recall is k / n.

    Example:
        >>> score_thresholds(np.array([0.2, 0.9, 0.5]), 4).tolist()
        [0.9, 0.5, 0.2]
    """
    scores = np.sort(scores)[::-1]
    kept: list[float] = []
    current = 0.0
    for i, score in enumerate(scores.tolist()):
        left, last = (i + 1) / ground_truths, i + 1 == len(scores)
        right = left if last else (i + 2) / ground_truths
        if not last and right - current < current - left:
            continue
        kept.append(score)
        current += 1 / (RECALL_POINTS - 1)
    return np.array(kept)


def curve(values: np.ndarray) -> np.ndarray:
    """Values at the thresholds as the curve over 41 recall positions: each is the best at its recall or more.

    Args:
        values: (T,) precision or similarity by falling threshold, T <= 41; what is missing counts 0.

    Example:
        >>> curve(np.array([0.5, 1.0, 0.25]))[:4].tolist()
        [1.0, 1.0, 0.25, 0.0]
    """
    full = np.zeros(RECALL_POINTS)
    full[: len(values)] = values
    return np.maximum.accumulate(full[::-1])[::-1]


def ap11(curves: np.ndarray) -> np.ndarray:
    """Average precision in percent over the recalls 0, 0.1 ... 1 of curves ``(..., 41)``."""
    return 100 * curves[..., ::4].mean(axis=-1)


def ap40(curves: np.ndarray) -> np.ndarray:
    """Average precision in percent over the recalls 1/40, 2/40 ... 1 of curves ``(..., 41)``."""
    return 100 * curves[..., 1:].mean(axis=-1)
