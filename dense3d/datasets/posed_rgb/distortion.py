"""Lens distortion as OpenCV models it, with the names that transforms.json uses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dense3d.errors import DataError

# Names of the coefficients in OpenCV's order.
COEFFICIENTS = {
    "opencv": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "fisheye": ("k1", "k2", "k3", "k4"),
}

ITERATIONS = 15


@dataclass(frozen=True)
class Distortion:
    """How a lens departs from the pinhole camera of the same intrinsics.

    ``"opencv"``: radial and tangential, ``k1 k2 p1 p2 k3 k4 k5 k6`` of OpenCV's ``calib3d``.
    ``"fisheye"``: equidistant with ``k1 k2 k3 k4`` of OpenCV's ``fisheye`` (Kannala and Brandt, 2006).

    Args:
        model: ``"opencv"`` or ``"fisheye"``.
        coefficients: in that order; missing ones are 0.

    Raises:
        DataError: another model, or too many or not finite coefficients.

    Example:
        >>> lens = Distortion("opencv", (0.1, 0.0, 0.0, 0.0))
        >>> k = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])
        >>> seen = lens.distort(np.array([[150.0, 40.0]]), k)  # x = 1, so 1 + 0.1 of it
        >>> seen.round(6).tolist()
        [[160.0, 40.0]]
        >>> lens.undistort(seen, k).round(4).tolist()
        [[150.0, 40.0]]
    """

    model: str
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.model not in COEFFICIENTS:
            raise DataError(f"a lens model is one of {', '.join(COEFFICIENTS)}, not {self.model!r}")
        longest = len(COEFFICIENTS[self.model])
        if len(self.coefficients) > longest or not np.isfinite(self.coefficients).all():
            raise DataError(
                f"the model {self.model} has {longest} finite coefficients, not {self.coefficients}"
            )
        padded = (*map(float, self.coefficients), *[0.0] * (longest - len(self.coefficients)))
        object.__setattr__(self, "coefficients", padded)

    def distort(self, pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
        """Where the lens shows what a pinhole camera would at ``pixels``.

        Args:
            pixels: (N, 2) of the pinhole camera.
            intrinsics: (3, 3) of both.

        Returns:
            (N, 2) pixels.
        """
        rays = _normalised(pixels, intrinsics)
        points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)[:, None]
        none = np.zeros(3)
        project = cv2.projectPoints if self.model == "opencv" else cv2.fisheye.projectPoints
        seen, _ = project(points, none, none, np.asarray(intrinsics, np.float64), self._array())
        return seen.reshape(-1, 2)

    def undistort(self, pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`distort`, by iteration: (N, 2) pixels of the pinhole camera."""
        k, points = np.asarray(intrinsics, np.float64), np.asarray(pixels, np.float64).reshape(-1, 1, 2)
        if self.model == "fisheye":
            criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)
            done = cv2.fisheye.undistortPoints(points, k, self._array(), None, np.eye(3), k, criteria)
            return done.reshape(-1, 2)
        done = cv2.undistortPoints(points, k, self._array(), None, np.eye(3), k).reshape(-1, 2)
        for _ in range(ITERATIONS):  # OpenCV makes five
            done = done + (points[:, 0] - self.distort(done, k))
        return done

    def undistort_image(self, image: np.ndarray, intrinsics: np.ndarray, nearest: bool = False) -> np.ndarray:
        """The image that the pinhole camera of the same intrinsics and size would give.

        Args:
            image: (H, W) or (H, W, C).
            intrinsics: (3, 3).
            nearest: take the nearest pixel instead of mixing four, for depth and masks.

        Returns:
            The same shape; 0 where the photograph shows nothing.
        """
        height, width = image.shape[:2]
        pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2)
        places = self.distort(pixels.astype(np.float64), intrinsics).astype(np.float32)
        places = places.reshape(height, width, 2)
        method = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        return cv2.remap(image, places, None, method, borderMode=cv2.BORDER_CONSTANT)

    def _array(self) -> np.ndarray:
        return np.array(self.coefficients, dtype=np.float64)


def _normalised(pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    pixels, k = np.asarray(pixels, np.float64), np.asarray(intrinsics, np.float64)
    y = (pixels[:, 1] - k[1, 2]) / k[1, 1]
    return np.stack([(pixels[:, 0] - k[0, 2] - k[0, 1] * y) / k[0, 0], y], axis=1)
