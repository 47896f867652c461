"""How large a scene is, and what its photographs look at, by their cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.radiance.views import PosedView

EXTENT_MARGIN = 1.1


def scene_extent(views: Sequence[PosedView]) -> float:
    """1.1 times the largest distance of a camera from their mean: what sizes and learning rates refer to.

    For cameras at one place it is the distance to what they see, if depth is known, else 1.
    """
    centres = np.array([view.camera.position for view in views])
    extent = EXTENT_MARGIN * float(np.linalg.norm(centres - centres.mean(axis=0), axis=1).max())
    if extent > 1e-6:
        return extent
    depths = [view.depth[view.depth > 0] for view in views if view.depth is not None]
    depths = np.concatenate(depths) if depths else np.empty(0)
    return float(np.median(depths)) if len(depths) else 1.0


def common_sight(views: Sequence[PosedView]) -> tuple[np.ndarray | None, float]:
    """The point nearest to all optical axes and its mean distance, if it lies before most cameras."""
    centres = np.array([view.camera.position for view in views])
    axes = np.array([view.camera.rotation[:, 2] for view in views])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]  # (V, 3, 3) projections onto the image planes
    total = across.sum(axis=0)
    if np.linalg.cond(total) > 1e6:
        return None, 0.0
    centre = np.linalg.solve(total, (across @ centres[:, :, None]).sum(axis=0)[:, 0])
    ahead = ((centre - centres) * axes).sum(axis=1)
    if (ahead > 0).mean() < 0.8:
        return None, 0.0
    return centre, float(np.linalg.norm(centre - centres, axis=1).mean())
