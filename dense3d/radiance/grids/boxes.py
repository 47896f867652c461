"""The box of the world that a grid shows: given, or found by masks, known points or cameras."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dense3d.errors import ConfigError, DataError
from dense3d.radiance.extent import common_sight, scene_extent
from dense3d.radiance.grids.visibility import seen_by
from dense3d.radiance.hull import hull_box
from dense3d.radiance.views import PosedView
from dense3d.structures import PointCloud

CAMERA_MARGIN = 0.1  # of the extent on each side, as in NeRF-RPN and NeRF-MAE
POINT_SHARES = (1.0, 99.0)  # percentiles of known points that a box reaches to
PIXELS_A_VIEW = 2000  # of depth maps
KINDS = ("auto", "object", "points", "sight", "cameras")


def scene_box(
    views: Sequence[PosedView], kind: str = "auto", points: PointCloud | None = None
) -> tuple[np.ndarray, str]:
    """(2, 3) low and high corner in the world, and a word for where they come from.

    ``"object"``: the visual hull of what alpha channels or masks show. ``"points"``: nearly all points of
    structure from motion, or of depth maps. ``"sight"``: the cube around what all cameras look at that the
    photographs show. ``"cameras"``: the box of the cameras, a tenth larger on each side. ``"auto"`` takes the
    first of these that there is.

    Args:
        views: photographs.
        kind: of :data:`KINDS`.
        points: of structure from motion, in the world of the poses.

    Raises:
        ConfigError: another kind.
        DataError: what a kind needs is not there.
    """
    if kind not in KINDS:
        raise ConfigError(f"box={kind!r} is none of {', '.join(KINDS)}, nor six numbers")
    finders = {
        "object": lambda: _of_object(views),
        "points": lambda: _of_points(views, points),
        "sight": lambda: _of_sight(views),
        "cameras": lambda: _of_cameras(views),
    }
    for name, find in finders.items():
        if kind in ("auto", name):
            box = find()
            if box is not None:
                return box, name
    needs = {
        "object": "alpha channels or masks that leave a hull",
        "points": "points of structure from motion or depth maps",
        "sight": "cameras that look at a common place",
        "cameras": "cameras that move along all three axes",
    }
    if kind == "auto":
        raise DataError("no box can be found, since all cameras are at one place: give one (--box X0,...,Z1)")
    raise DataError(f"the box of kind {kind!r} needs {needs[kind]}: give one (--box X0,Y0,Z0,X1,Y1,Z1)")


def checked_box(box: Sequence[float], views: Sequence[PosedView]) -> np.ndarray:
    """(2, 3) of six numbers, if it is one that photographs show anything of.

    Raises:
        ConfigError: corners are not finite or not in order.
        DataError: no photograph sees its middle or a corner.
    """
    corners = np.asarray(box, np.float64).reshape(-1)
    if corners.shape != (6,) or not np.isfinite(corners).all() or not (corners[3:] > corners[:3]).all():
        raise ConfigError(
            f"box {corners.tolist()}: it has six finite numbers, the low corner x0, y0, z0 before the high "
            "corner x1, y1, z1"
        )
    found = corners.reshape(2, 3)
    ticks = [np.linspace(*found[:, axis], 5) for axis in range(3)]
    places = np.stack(np.meshgrid(*ticks, indexing="ij"), -1).reshape(-1, 3)
    if not seen_by(places, views).any():
        raise DataError(
            f"box {corners.tolist()}: no photograph sees any of it; it is in the world of the poses as their "
            f"files have it, whose cameras are around {np.round(_centres(views).mean(axis=0), 3).tolist()}"
        )
    return found


def grid_shape(box: np.ndarray, resolution: int) -> tuple[int, int, int]:
    """Samples along x, y and z: ``resolution`` on the longest side, the others in proportion, all even.

    As the released grids have it: rounded down, then up to an even number.

    Args:
        box: (2, 3).
        resolution: at least 2.

    Example:
        >>> grid_shape(np.array([[0, 0, 0], [4.0, 2.0, 1.35]]), 160)
        (160, 80, 54)
    """
    sides = box[1] - box[0]
    counts = (int(side / sides.max() * resolution + 1e-9) for side in sides)
    return tuple(max(2, count + count % 2) for count in counts)


def fit_box(box: np.ndarray, views: Sequence[PosedView], shell: float) -> np.ndarray:
    """(2, 3) inner box of the grid that is fitted: with a shell it holds the cameras, too."""
    if not shell:
        return box
    cameras = _centres(views)
    joined = np.stack([np.minimum(box[0], cameras.min(axis=0)), np.maximum(box[1], cameras.max(axis=0))])
    margin = 0.02 * (joined[1] - joined[0]).max()
    return joined + np.array([[-margin], [margin]])


def _centres(views: Sequence[PosedView]) -> np.ndarray:
    return np.array([view.camera.position for view in views])


def _of_object(views: Sequence[PosedView]) -> np.ndarray | None:
    masked = [view for view in views if view.alpha is not None]
    centre, distance = common_sight(views)
    if not masked or centre is None:
        return None
    return hull_box(masked, centre, distance)


def _of_points(views: Sequence[PosedView], points: PointCloud | None) -> np.ndarray | None:
    if points is not None and len(points.finite()[0]):
        known = points.finite()[0].points.astype(np.float64)
    else:
        parts = [_of_depth(view) for view in views if view.depth is not None]
        known = np.concatenate(parts) if parts else np.empty((0, 3))
    if len(known) < 8:
        return None
    low, high = np.percentile(known, POINT_SHARES, axis=0)
    margin = 0.02 * (high - low).max()
    return np.stack([low - margin, high + margin]) if margin > 0 else None


def _of_depth(view: PosedView) -> np.ndarray:
    rows, columns = np.nonzero(view.depth > 0)
    chosen = slice(None, None, max(1, len(rows) // PIXELS_A_VIEW))
    pixels = np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float64)
    return view.camera.unproject(pixels, view.depth[rows[chosen], columns[chosen]].astype(np.float64))


def _of_sight(views: Sequence[PosedView]) -> np.ndarray | None:
    centre, distance = common_sight(views)
    if centre is None or distance < 0.25 * scene_extent(views):
        return None
    spans = [view.camera.width / view.camera.intrinsics[0, 0] for view in views]
    spans += [view.camera.height / view.camera.intrinsics[1, 1] for view in views]
    half = distance * min(math.sqrt(0.5), float(np.mean(spans)) / 2)
    return np.stack([centre - half, centre + half])


def _of_cameras(views: Sequence[PosedView]) -> np.ndarray | None:
    centres = _centres(views)
    low, high = centres.min(axis=0), centres.max(axis=0)
    extent = high - low
    if extent.min() < 1e-3 * max(extent.max(), 1e-9):
        return None
    return np.stack([low - CAMERA_MARGIN * extent, high + CAMERA_MARGIN * extent])
