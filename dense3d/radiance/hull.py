"""The visual hull of an object: all that the silhouettes in its photographs allow (Laurentini, 1994)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from dense3d.radiance.views import PosedView

SIDES = (32, 64)  # voxels along an edge of the box around all that is looked at, then around what is left
MOST_VIEWS = 64
OPAQUE = 127  # alpha above which a pixel shows the object
AGREEMENT = (1.0, 0.95, 0.8)  # share of the views of a voxel that have to show it; masks may have faults
LEAST_SEEN = 0.34  # share of the views that see a voxel; what is near to a camera is seen by few others
LEAST_VOXELS = 8


def hull_points(
    views: Sequence[PosedView], centre: np.ndarray, reach: float, count: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Points spread evenly over the visual hull, made of voxels: (N, 3), or None where nothing is left.

    Args:
        views: photographs; those without alpha show the object in all pixels.
        centre: (3,) of the cube that holds the object.
        reach: half its side.
        count: N.
        rng: draws the points.

    Example:
        >>> from dense3d.structures import PinholeCamera
        >>> alpha = np.zeros((21, 21), np.uint8)
        >>> alpha[8:13, 8:13] = 255
        >>> places = [(-4, 0, 0), (0, -4, 0), (2.8, 2.8, 0)]
        >>> cameras = [PinholeCamera.look_at(place, (0, 0, 0), 21, 21, fov=0.8) for place in places]
        >>> views = [PosedView("", camera, np.zeros((21, 21, 3), np.uint8), alpha) for camera in cameras]
        >>> points = hull_points(views, np.zeros(3), 3.0, 100, np.random.default_rng(0))
        >>> points.shape, bool((np.abs(points) < 0.7).all())
        ((100, 3), True)
    """
    found = hull_voxels(views, centre, reach)
    if found is None:
        return None
    centres, side = found
    chosen = centres[rng.integers(len(centres), size=count)]
    return chosen + rng.uniform(-0.5, 0.5, (count, 3)) * side


def hull_box(views: Sequence[PosedView], centre: np.ndarray, reach: float) -> np.ndarray | None:
    """(2, 3) low and high corner of the visual hull, or None where nothing is left.

    Args:
        views: photographs.
        centre, reach: of the cube that holds the object.
    """
    found = hull_voxels(views, centre, reach)
    if found is None:
        return None
    centres, side = found
    return np.stack([centres.min(axis=0) - side / 2, centres.max(axis=0) + side / 2])


def hull_voxels(
    views: Sequence[PosedView], centre: np.ndarray, reach: float
) -> tuple[np.ndarray, float] | None:
    """(N, 3) centres of the hull's voxels and their side, or None where nothing is left."""
    views = [views[i] for i in np.unique(np.linspace(0, len(views) - 1, MOST_VIEWS).astype(int))]
    low, high = centre - reach, centre + reach
    for number in SIDES:
        side = float((high - low).max()) / number
        counts = np.maximum(np.ceil((high - low) / side - 1e-9).astype(int), 1)
        grid = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, 3)
        centres = low + (grid + 0.5) * side
        centres = centres[_kept(centres, side, views)]
        if not len(centres):
            return None
        low, high = centres.min(axis=0) - side, centres.max(axis=0) + side
    return centres, side


def _kept(centres: np.ndarray, side: float, views: Sequence[PosedView]) -> np.ndarray:
    """(N,) bool: voxels that many views see, of which nearly all show the object there."""
    seen, shown = np.zeros(len(centres), np.int64), np.zeros(len(centres), np.int64)
    middle = (centres.min(axis=0) + centres.max(axis=0)) / 2
    for view in views:
        index, x, y = view.seen(centres)
        seen[index] += 1
        shown[index] += _silhouette(view, side, middle)[y, x]
    least = max(LEAST_SEEN * len(views), min(2, len(views)))
    for share in AGREEMENT:
        kept = (seen >= least) & (shown >= share * seen)
        if kept.sum() >= LEAST_VOXELS:
            return kept
    return kept


def _silhouette(view: PosedView, side: float, middle: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels at which the centre of a voxel lies that may touch the object."""
    if view.alpha is None:
        return np.ones(view.image.shape[:2], bool)
    shown = view.alpha > OPAQUE
    if view.usable is not None:
        shown |= ~view.usable
    distance = max(float(np.linalg.norm(middle - view.camera.position)), side)
    radius = math.ceil(0.5 * side * float(view.camera.intrinsics[0, 0]) / distance)
    radius = min(radius, max(shown.shape))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(shown.astype(np.uint8), kernel) > 0
