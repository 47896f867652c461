"""Which places photographs see, and at which of them they show that nothing is there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.radiance.views import PosedView

SHOWN = 0.05  # alpha above which a pixel shows something of the object
AT_ONCE = 1 << 20


def seen_by(points: np.ndarray, views: Sequence[PosedView], near: float = 0.0) -> np.ndarray:
    """(N,) number of photographs whose frustum holds each point of the world.

    Args:
        points: (N, 3).
        views: photographs.
        near: depth from which on a frustum begins.
    """
    count = np.zeros(len(points), np.int32)
    for first in range(0, len(points), AT_ONCE):
        some = points[first : first + AT_ONCE]
        for view in views:
            index = view.seen(some)[0]
            if near > 0:
                index = index[view.camera.project(some[index])[1] >= near]
            count[first + index] += 1
    return count


def outside_silhouettes(points: np.ndarray, views: Sequence[PosedView]) -> np.ndarray:
    """(N,) number of photographs that see through each point: it lies at a pixel without the object.

    Args:
        points: (N, 3) of the world.
        views: photographs; those without alpha see through nothing.
    """
    count = np.zeros(len(points), np.int32)
    for view in views:
        if view.alpha is None:
            continue
        empty = view.alpha <= SHOWN * 255
        if view.usable is not None:
            empty = empty & view.usable
        for first in range(0, len(points), AT_ONCE):
            index, columns, rows = view.seen(points[first : first + AT_ONCE])
            count[first + index] += empty[rows, columns]
    return count
