"""KITTI's occlusion levels from how much of an object is seen."""

from __future__ import annotations

import numpy as np

# visible fraction from which an object counts as not hidden, or as partly hidden
VISIBLE, PARTLY_VISIBLE = 0.8, 0.4


def occlusion_level(visible_fraction: np.ndarray | float) -> np.ndarray:
    """KITTI's occlusion from the fraction of an object's pixels in the image that nothing hides.

    KITTI's annotators judged by eye (0 fully visible, 1 partly, 2 largely occluded); the limits 0.8 and 0.4
    are ours.

    Args:
        visible_fraction: (N,) in 0..1.

    Returns:
        (N,) integers 0, 1 or 2.

    Example:
        >>> occlusion_level(np.array([1.0, 0.5, 0.1])).tolist()
        [0, 1, 2]
    """
    fraction = np.asarray(visible_fraction)
    return (fraction < VISIBLE).astype(np.int64) + (fraction < PARTLY_VISIBLE)
