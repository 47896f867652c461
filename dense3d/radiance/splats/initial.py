"""Where the first Gaussians are: points of structure from motion, depth maps, a scan, or chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.datasets.posed_rgb.frames import PosedScene
from dense3d.errors import ConfigError, DataError
from dense3d.radiance.extent import common_sight, scene_extent
from dense3d.radiance.views import PosedView
from dense3d.structures import PointCloud

POINTS = 20_000  # of depth maps, or at random
NEAR, FAR = 0.3, 1.5  # of random points, in multiples of the distance to what all cameras look at
ALONE = 3.0  # half the side of the box of random points, in extents, where they look at nothing in common


def initial_points(
    scene: PosedScene,
    views: Sequence[PosedView],
    cloud: PointCloud | None = None,
    count: int | None = None,
    cap: int | None = None,
    seed: int = 0,
) -> tuple[PointCloud, str]:
    """Points with colours to place Gaussians at, and a word for where they come from.

    Of what there is the first is taken: ``cloud``, points of structure from motion, depth maps, chance.

    Args:
        scene: what the views are read from.
        views: for training.
        cloud: a scan in the frame of the poses.
        count: thin a cloud out to so many points at random, or take so many of depth maps; by default all
            points of a cloud, and 20,000 of depth maps or by chance (but no more than ``cap``).
        cap: largest number of Gaussians.
        seed: of the choice.

    Raises:
        ConfigError: ``cap`` is below the number of points.
        DataError: there is no point with finite coordinates.
    """
    rng = np.random.default_rng(seed)
    usual = min(POINTS, cap or POINTS)
    if cloud is not None or scene.points is not None:
        found, source = (cloud, cloud.name) if cloud is not None else (scene.points, "structure from motion")
        found = found.finite()[0]
        if count is not None and count < len(found):
            found = found.select(np.sort(rng.permutation(len(found))[:count]))
    elif any(view.depth is not None and (view.depth > 0).any() for view in views):
        found, source = _points_of_depth(views, count or usual, rng), "depth"
    else:
        found, source = _random_points(views, count or usual, rng), "chance"
    if not len(found):
        raise DataError(
            f"{source}: there is no point with finite coordinates to begin with; give another cloud"
        )
    if cap is not None and cap < len(found):
        raise ConfigError(
            f"a cap of {cap} Gaussians is below the {len(found)} points to begin with ({source}): raise the "
            f"cap, or thin them out (--points {cap})"
        )
    if found.colors is None:
        found = PointCloud(found.points, colors=seen_colors(found.points, views), name=found.name)
    return found, source


def _points_of_depth(views: Sequence[PosedView], count: int, rng: np.random.Generator) -> PointCloud:
    """Points spread evenly over all pixels with depth."""
    known = [np.flatnonzero(_known_depth(view)) for view in views]
    total = sum(map(len, known))
    chosen = np.sort(rng.permutation(total)[:count])
    starts = np.cumsum([0, *map(len, known)])
    points, colors = [], []
    for view, index, start in zip(views, known, starts):
        own = index[chosen[(chosen >= start) & (chosen < start + len(index))] - start]
        rows, columns = np.divmod(own, view.camera.width)
        pixels = np.stack([columns, rows], axis=1).astype(np.float64)
        points.append(view.camera.unproject(pixels, view.depth[rows, columns].astype(np.float64)))
        colors.append(view.image[rows, columns] / 255)
    return PointCloud(np.concatenate(points), colors=np.concatenate(colors), name="depth")


def _known_depth(view: PosedView) -> np.ndarray:
    known = view.depth > 0
    if view.usable is not None:
        known = known & view.usable
    if view.alpha is not None:
        known = known & (view.alpha > 127)
    return known


def _random_points(views: Sequence[PosedView], count: int, rng: np.random.Generator) -> PointCloud:
    """Points on rays through random pixels, around what all cameras look at; grey where nothing is known."""
    centre, distance = common_sight(views)
    points, colors = [], []
    for view, share in zip(views, rng.multinomial(count, np.full(len(views), 1 / len(views)))):
        rows, columns = (
            rng.integers(view.camera.height, size=share),
            rng.integers(view.camera.width, size=share),
        )
        pixels = np.stack([columns, rows], axis=1).astype(np.float64)
        if centre is None:
            depth = rng.uniform(0.1, 2 * ALONE, share) * scene_extent(views)
        else:
            depth = rng.uniform(NEAR, FAR, share) * distance
        points.append(view.camera.unproject(pixels, depth))
        colors.append(view.image[rows, columns] / 255)
    return PointCloud(np.concatenate(points), colors=np.concatenate(colors), name="chance")


def seen_colors(points: np.ndarray, views: Sequence[PosedView]) -> np.ndarray:
    """(N, 3) mean colours in 0..1 of where the views see the points; grey where none does.

    What hides a point is not known, so a hidden one takes a share of what is before it.
    """
    total, count = np.zeros((len(points), 3)), np.zeros(len(points))
    for view in views:
        pixels, depth = view.camera.project(points)
        places = np.rint(np.where(depth[:, None] > 0, pixels, -1)).astype(np.int64)
        size = (view.camera.width, view.camera.height)
        seen = np.flatnonzero((depth > 0) & (places >= 0).all(axis=1) & (places < size).all(axis=1))
        x, y = places[seen].T
        total[seen] += view.image[y, x] / 255
        count[seen] += 1
    return np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], 0.5)
