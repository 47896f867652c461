"""Pictures of point clouds: points drawn from afar, nearer ones over farther ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SIZE = 480  # pixels of a side
BACKGROUND = 255
MARGIN = 0.94  # share of the picture that the cloud fills
DEPTH_SHADE = 0.45  # how much darker the farthest point is


def draw_cloud(
    points: np.ndarray,
    colours: np.ndarray | None = None,
    size: int = SIZE,
    up: str = "z",
    azimuth: float = 35.0,
    elevation: float = 25.0,
    radius: int | None = None,
    bounds: np.ndarray | None = None,
) -> np.ndarray:
    """A cloud in parallel projection.

    Args:
        points: ``(N, 3)``, finite; there may be none.
        colours: ``(N, 3)`` uint8 RGB; by height unless given. Both are darkened with the distance.
        size: pixels of a side.
        up: axis that points upwards, ``"x"``, ``"y"`` or ``"z"``.
        azimuth, elevation: of the camera, in degrees.
        radius: of a point, in pixels; by the number of points unless given.
        bounds: ``(2, 3)``, least and greatest coordinates of what fills the picture; the cloud's unless
            given. Clouds with the same bounds are drawn to one scale and place.

    Returns:
        ``(size, size, 3)`` uint8 RGB.

    Example:
        >>> picture = draw_cloud(np.zeros((1, 3)), np.array([[255, 0, 0]], np.uint8), size=9, radius=0)
        >>> picture[4, 4].tolist(), picture[0, 0].tolist()
        ([255, 0, 0], [255, 255, 255])
    """
    picture = np.full((size, size, 3), BACKGROUND, dtype=np.uint8)
    points = np.asarray(points, dtype=np.float64)
    if not len(points):
        return picture
    bounds = np.stack([points.min(axis=0), points.max(axis=0)]) if bounds is None else np.asarray(bounds)
    extent = max(float(np.linalg.norm(bounds[1] - bounds[0])), 1e-9)
    right, high, near = _axes(up, azimuth, elevation)
    centred = points - bounds.mean(axis=0)
    scale = MARGIN * size / extent
    x = np.rint((size - 1) / 2 + scale * (centred @ right)).astype(int)
    y = np.rint((size - 1) / 2 - scale * (centred @ high)).astype(int)
    depth = centred @ near
    if colours is None:
        colours = height_colours(points, up)
    far = (depth.max() - depth) / max(np.ptp(depth), 1e-9)
    shaded = np.asarray(colours) * (1 - DEPTH_SHADE * far[:, None])
    order = np.argsort(depth, kind="stable")  # the nearest last, over the others
    _draw_discs(picture, x[order], y[order], shaded[order], _radius(len(points), size, radius))
    return picture


def draw_seen_cloud(points: np.ndarray, colours: np.ndarray, size: int = 2 * SIZE) -> np.ndarray:
    """What a camera saw, from aside: from behind and above it on either side, and from straight above.

    Wrong depth, which a map of it hides, shows as bent walls and as points strewn along the rays. The few
    points that lie far from all others do not make the rest small.

    Args:
        points: ``(N, 3)`` in a camera's frame, x right, y down, z forward.
        colours: ``(N, 3)`` uint8 RGB.
        size: pixels of a side of each view.

    Returns:
        ``(H, W, 3)`` uint8 RGB, the views side by side under their names.

    Example:
        >>> draw_seen_cloud(np.zeros((1, 3)), np.zeros((1, 3), np.uint8), size=60).shape[1]
        188
    """
    from dense3d.visualization.panels import captioned

    upright = np.asarray(points, dtype=np.float64)[:, [0, 2, 1]] * (1, 1, -1)  # x right, y forward, z up
    bounds = np.percentile(upright, [1, 99], axis=0) if len(upright) else None
    views = {"from the left": (-125, 25), "from the right": (-55, 25), "from above": (-90, 90)}
    return captioned(
        {
            name: draw_cloud(upright, colours, size, azimuth=azimuth, elevation=elevation, bounds=bounds)
            for name, (azimuth, elevation) in views.items()
        }
    )


def labelled_colours(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Colours ``(N, 3)`` of labels ``(N,)``; grey where a label is none of the palette's.

    Example:
        >>> labelled_colours(np.array([1, -1]), np.array([[0, 0, 0], [9, 9, 9]], np.uint8)).tolist()
        [[9, 9, 9], [128, 128, 128]]
    """
    known = (labels >= 0) & (labels < len(palette))
    colours = np.full((len(labels), 3), 128, dtype=np.uint8)
    colours[known] = np.asarray(palette, dtype=np.uint8)[labels[known]]
    return colours


def height_colours(points: np.ndarray, up: str = "z") -> np.ndarray:
    """RGB colours ``(N, 3)`` in 0..255 of points ``(N, 3)``, from blue below over green to yellow above.

    Example:
        >>> height_colours(np.array([[0.0, 0, 0], [0, 0, 1]])).tolist()
        [[58.0, 76.0, 164.0], [240.0, 206.0, 40.0]]
    """
    heights = np.asarray(points, dtype=np.float64) @ _unit(up)
    if not len(heights):
        return np.zeros((0, 3))
    share = (heights - heights.min()) / max(np.ptp(heights), 1e-9)
    stops = np.array([[58, 76, 164], [38, 150, 142], [122, 198, 86], [240, 206, 40]], dtype=np.float64)
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(share, places, stops[:, channel]) for channel in range(3)], axis=1)


def draw_cloud_sample(
    points: np.ndarray, sample: Any, classes: Sequence[str] = (), up: str = "z", size: int = 320
) -> np.ndarray:
    """A cloud with its ground truth: labels of points as colours, else heights, under its class or name.

    Args:
        points: ``(N, 3)``.
        sample: a :class:`~dense3d.structures.PointDataSample` with ``gt_label`` or ``gt_point_labels``, or
            neither.
        classes: names of the classes of whole clouds.
        up, size: see :func:`draw_cloud`.

    Returns:
        ``(H, size, 3)`` uint8 RGB.

    Example:
        >>> draw_cloud_sample(np.zeros((1, 3)), {"gt_label": 0}, ["mug"], size=9).shape
        (31, 9, 3)
    """
    from dense3d.visualization.colours import distinct_colours
    from dense3d.visualization.panels import captioned

    caption, label, labels = (
        sample.get("sample_id") or "",
        sample.get("gt_label"),
        sample.get("gt_point_labels"),
    )
    if label is not None and int(label) < len(classes):
        caption = classes[int(label)]
    colours = None
    if labels is not None and len(labels) == len(points):
        labels = np.asarray(labels.cpu())
        colours = labelled_colours(labels, np.array(distinct_colours(int(labels.max(initial=0)) + 1)))
    return captioned({caption: draw_cloud(points, colours, size, up)})


def _unit(up: str) -> np.ndarray:
    return np.eye(3)["xyz".index(up)]


def _axes(up: str, azimuth: float, elevation: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions to the right, upwards and towards the camera, as rows of the picture's frame."""
    third = "xyz".index(up)
    first, second = np.eye(3)[(third + 1) % 3], np.eye(3)[(third + 2) % 3]
    turn, lift = np.radians(azimuth), np.radians(elevation)
    flat = np.cos(turn) * first + np.sin(turn) * second
    right = -np.sin(turn) * first + np.cos(turn) * second
    near = np.cos(lift) * flat + np.sin(lift) * _unit(up)
    return right, np.cross(near, right), near


def _radius(count: int, size: int, radius: int | None) -> int:
    if radius is not None:
        return radius
    return int(np.clip(round(0.25 * size / np.sqrt(max(count, 1))), 1, 6))


def _draw_discs(picture: np.ndarray, x: np.ndarray, y: np.ndarray, colours: np.ndarray, radius: int) -> None:
    """Discs in the order that they are given; a later point hides an earlier one wherever they meet."""
    size = len(picture)
    reach = np.arange(-radius, radius + 1)
    dy, dx = (grid.ravel() for grid in np.meshgrid(reach, reach, indexing="ij"))
    inside = dx**2 + dy**2 <= (radius + 0.3) ** 2
    dy, dx = dy[inside], dx[inside]
    rows, columns = y[:, None] + dy, x[:, None] + dx  # (N, D)
    seen = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    place = (rows * size + columns)[seen]
    owner = np.broadcast_to(np.arange(len(x))[:, None], rows.shape)[seen]
    front = np.full(size * size, -1)
    np.maximum.at(front, place, owner)
    covered = front >= 0
    picture.reshape(-1, 3)[covered] = np.rint(colours[front[covered]]).astype(np.uint8)
