"""One photograph of a scene at the size of a network's input, with its depth and camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dense3d.datasets.posed_rgb.frames import PosedFrame
from dense3d.structures.camera import PinholeCamera


@dataclass(frozen=True, eq=False)
class SceneView:
    """A photograph.

    Args:
        name: of its file, for messages.
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 metres along the optical axis, 0 where unknown; None if there is none.
        camera: for images of H x W.
    """

    name: str
    image: np.ndarray
    depth: np.ndarray | None
    camera: PinholeCamera


def read_view(frame: PosedFrame, size: tuple[int, int]) -> SceneView:
    """A frame, resized, with its depth as the photograph's camera sees it.

    Colours are means over pixels. Depth of the photograph's own camera is that of the nearest pixel; depth of
    another camera, as ScanNet's, is projected into the photograph, the nearest surface in front.

    Args:
        frame: with or without depth.
        size: rows and columns.

    Raises:
        DataError: a file is missing or damaged, or of another size than its camera.
    """
    image = frame.undistorted(frame.read_image())
    camera = scaled(frame.camera, size)
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    depth = None
    if frame.depth_path is not None:
        stored = frame.read_depth()
        if frame.depth_camera is None:
            stored = frame.undistorted(stored, nearest=True)
            depth = cv2.resize(stored, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        else:
            # no finer than it was measured, or there would be holes between its pixels
            coarse = tuple(min(sides) for sides in zip(size, stored.shape))
            seen = depth_of_points(_surface(stored, frame.depth_model), scaled(frame.camera, coarse))
            depth = cv2.resize(seen, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return SceneView(str(frame.image_path), image, depth, camera)


def scaled(camera: PinholeCamera, size: tuple[int, int]) -> PinholeCamera:
    """The camera for images of ``size`` rows and columns that show the same.

    Example:
        >>> camera = PinholeCamera(4, 2, np.array([[2.0, 0, 1.5], [0, 2, 0.5], [0, 0, 1]]), np.eye(4))
        >>> scaled(camera, (4, 8)).intrinsics[:2].tolist()
        [[4.0, 0.0, 3.5], [0.0, 4.0, 1.5]]
    """
    matrix = camera.intrinsics.copy()
    matrix[:2, 2] += 0.5  # from the centre of the first pixel to the corner of the image
    matrix[:2] *= np.array([size[1] / camera.width, size[0] / camera.height])[:, None]
    matrix[:2, 2] -= 0.5
    return PinholeCamera(size[1], size[0], matrix, camera.camera_to_world)


def depth_of_points(points: np.ndarray, camera: PinholeCamera) -> np.ndarray:
    """(H, W) float32: depth of the nearest of the points (N, 3) in each pixel, 0 where there is none.

    Example:
        >>> camera = PinholeCamera(2, 1, np.array([[1.0, 0, 0.5], [0, 1, 0], [0, 0, 1]]), np.eye(4))
        >>> depth_of_points(np.array([[-0.5, 0, 3.0], [-0.4, 0, 2.0], [0, 0, -1.0]]), camera).tolist()
        [[2.0, 0.0]]
    """
    places, depth = camera.project(points)
    ahead = depth > 0
    pixels = np.rint(places[ahead]).astype(np.int64)
    inside = (pixels >= 0).all(axis=1) & (pixels < (camera.width, camera.height)).all(axis=1)
    found = np.full((camera.height, camera.width), np.inf)
    column, row = pixels[inside].T
    np.minimum.at(found, (row, column), depth[ahead][inside])
    return np.where(np.isfinite(found), found, 0).astype(np.float32)


def points_of_view(view: SceneView) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) in the world of the pixels with a depth, and their colours (N, 3) in 0..1."""
    rows, columns = np.nonzero(view.depth > 0)
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)
    points = view.camera.unproject(pixels, view.depth[rows, columns].astype(np.float64))
    return points.astype(np.float32), view.image[rows, columns].astype(np.float32) / 255


def _surface(depth: np.ndarray, camera: PinholeCamera) -> np.ndarray:
    """Points (N, 3) in the world of a depth map."""
    rows, columns = np.nonzero(depth > 0)
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)
    return camera.unproject(pixels, depth[rows, columns].astype(np.float64))
