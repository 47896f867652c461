"""What a fit is to beat: the mean of all photographs, the nearest one, the nearest one moved by its depth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from dense3d.radiance.views import PosedView

FINER = 3  # grid of the depth map that is moved, so that no gaps open between its pixels


def mean_image(views: Sequence[PosedView], view: PosedView) -> np.ndarray:
    """(H, W, 3) uint8: the mean of all photographs, in the size of ``view``."""
    size = (view.camera.width, view.camera.height)
    images = [cv2.resize(other.image, size, interpolation=cv2.INTER_AREA) for other in views]
    return np.mean(images, axis=0).round().astype(np.uint8)


def nearest_view(views: Sequence[PosedView], view: PosedView, extent: float) -> PosedView:
    """The photograph whose camera is nearest: distance over extent, plus the angle between optical axes."""

    def distance(other: PosedView) -> float:
        away = np.linalg.norm(other.camera.position - view.camera.position) / max(extent, 1e-9)
        cosine = float(other.camera.rotation[:, 2] @ view.camera.rotation[:, 2])
        return away + float(np.arccos(np.clip(cosine, -1, 1)))

    return min(views, key=distance)


def warped_by_depth(source: PosedView, view: PosedView) -> np.ndarray:
    """(H, W, 3) uint8: what ``source`` shows, moved by its depth map to where ``view`` sees it.

    The depth is moved with a z-buffer, and colours are then looked up between the pixels of ``source``. What
    it does not see takes the colour of the nearest pixel that it does.

    Args:
        source: with depth.
        view: whose camera is taken.
    """
    depth = _moved_depth(source, view)
    known = np.isfinite(depth)
    if not known.any():
        return np.zeros((view.camera.height, view.camera.width, 3), np.uint8)
    points = view.camera.unproject(view.camera.pixel_grid()[known], depth[known].astype(np.float64))
    pixels, ahead = source.camera.project(points)
    size = (source.camera.width - 1, source.camera.height - 1)
    known[known] = (ahead > 0) & (pixels >= -0.5).all(axis=1) & (pixels <= np.add(size, 0.5)).all(axis=1)
    places = np.zeros((*known.shape, 2), np.float32)
    places[np.isfinite(depth)] = pixels
    image = cv2.remap(source.image, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if known.any():
        rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
        image = image[rows, columns]
    return image


def _moved_depth(source: PosedView, view: PosedView) -> np.ndarray:
    """(H, W) depth of ``view`` from that of ``source``, infinite where nothing is known."""
    height, width = source.depth.shape
    grid = (np.arange(FINER * height) + 0.5) / FINER - 0.5, (np.arange(FINER * width) + 0.5) / FINER - 0.5
    pixels = np.stack(np.meshgrid(grid[1], grid[0]), axis=-1).reshape(-1, 2)
    depth = source.depth.repeat(FINER, axis=0).repeat(FINER, axis=1).reshape(-1)
    pixels, depth = pixels[depth > 0], depth[depth > 0]
    seen, ahead = view.camera.project(source.camera.unproject(pixels, depth.astype(np.float64)))
    places = np.rint(np.where(ahead[:, None] > 0, seen, -1)).astype(np.int64)
    size = (view.camera.width, view.camera.height)
    inside = (ahead > 0) & (places >= 0).all(axis=1) & (places < size).all(axis=1)
    x, y = places[inside].T
    found = np.full(size[::-1], np.inf, np.float32)
    np.minimum.at(found, (y, x), ahead[inside].astype(np.float32))
    return found
