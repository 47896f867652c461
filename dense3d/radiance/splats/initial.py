"""Where the first Gaussians are: points of structure from motion, depth maps, a scan, a hull, or chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dense3d.datasets.posed_rgb.frames import PosedScene
from dense3d.errors import ConfigError, DataError
from dense3d.radiance.extent import common_sight, scene_extent
from dense3d.radiance.hull import hull_points
from dense3d.radiance.views import PosedView
from dense3d.structures import PointCloud

POINTS = 20_000  # of depth maps, or at random
NEAR, FAR = 0.3, 1.5  # of random points, in multiples of the distance to what all cameras look at
ALONE = 3.0  # half the depth of random points, in extents, where they look at nothing in common
ALONE_NEAR = 0.1
CANDIDATES = 4  # random points from which one is taken


def initial_points(
    scene: PosedScene,
    views: Sequence[PosedView],
    cloud: PointCloud | None = None,
    count: int | None = None,
    cap: int | None = None,
    seed: int = 0,
) -> tuple[PointCloud, str]:
    """Points with colours to place Gaussians at, and a word for where they come from.

    Of what there is the first is taken: ``cloud``, points of structure from motion, depth maps, the visual
    hull of an object that alpha channels show, chance.

    Args:
        scene: what the views are read from.
        views: for training.
        cloud: a scan in the frame of the poses.
        count: thin a cloud out to so many points at random, or take so many of depth maps; by default all
            points of a cloud, and 20,000 of depth maps, a hull or chance (but no more than ``cap``).
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
        found, source = _points_of_chance(views, count or usual, rng)
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


def _points_of_chance(
    views: Sequence[PosedView], count: int, rng: np.random.Generator
) -> tuple[PointCloud, str]:
    """Points in the visual hull, where alpha channels and a place that all cameras look at give one."""
    centre, distance = common_sight(views)
    if centre is not None and any(view.alpha is not None for view in views):
        points = hull_points(views, centre, distance, count, rng)
        if points is not None:
            return PointCloud(points, name="hull"), "the hull of the object"
    return _random_points(views, centre, distance, count, rng), "chance"


def _random_points(
    views: Sequence[PosedView],
    centre: np.ndarray | None,
    distance: float,
    count: int,
    rng: np.random.Generator,
) -> PointCloud:
    """Points on rays through random pixels, with their colours, around what all cameras look at.

    What lies before one camera hides the scene from it, and no other can put that right. So points that are
    near to any camera, or that only one of several cameras sees, are left out as far as there are others.
    """
    near, far = (NEAR, FAR) if centre is not None else (ALONE_NEAR, 2 * ALONE)
    unit = distance if centre is not None else scene_extent(views)
    points, colors = [], []
    for view, share in zip(views, rng.multinomial(CANDIDATES * count, np.full(len(views), 1 / len(views)))):
        columns, rows = (rng.integers(side, size=share) for side in view.image.shape[1::-1])
        pixels = np.stack([columns, rows], axis=1).astype(np.float64)
        points.append(view.camera.unproject(pixels, rng.uniform(near, far, share) * unit))
        colors.append(view.image[rows, columns] / 255)
    points, colors = np.concatenate(points), np.concatenate(colors)
    seen, away = np.zeros(len(points), np.int64), np.full(len(points), np.inf)
    for view in views:
        seen[view.seen(points)[0]] += 1
        away = np.minimum(away, np.linalg.norm(points - view.camera.position, axis=1))
    doubtful = 2 * (away < near * unit) + (seen < 2)
    mixed = rng.permutation(len(points))
    chosen = mixed[np.argsort(doubtful[mixed], kind="stable")[:count]]
    return PointCloud(points[chosen], colors=colors[chosen], name="chance")


def seen_colors(points: np.ndarray, views: Sequence[PosedView]) -> np.ndarray:
    """(N, 3) mean colours in 0..1 of where the views see the points; grey where none does.

    What hides a point is not known, so a hidden one takes a share of what is before it. Pixels count by how
    much of the object is in them.
    """
    total, count = np.zeros((len(points), 3)), np.zeros(len(points))
    for view in views:
        seen, x, y = view.seen(points)
        if view.usable is not None:
            known = view.usable[y, x]
            seen, x, y = seen[known], x[known], y[known]
        total[seen] += view.image[y, x] / 255
        count[seen] += 1 if view.alpha is None else view.alpha[y, x] / 255
    return np.where(count[:, None] > 0, total / np.maximum(count, 1e-9)[:, None], 0.5).clip(0, 1)
