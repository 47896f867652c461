"""Two cameras as a calibration gives them, before rectification: with distortion, not yet parallel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dense3d.errors import DataError

DISTORTION_TERMS = (0, 4, 5, 8, 12, 14)  # numbers of coefficients that OpenCV's models have


@dataclass(frozen=True, eq=False)
class StereoCameras:
    """A calibrated pair: a point X in the left camera's frame is ``R @ X + t`` in the right one's.

    Frames are x right, y down, z forward; with the right camera to the right, ``t[0]`` is negative.

    Args:
        width, height: size in pixels of the images that were calibrated with.
        left, right: (3, 3) intrinsics in pixels.
        left_distortion, right_distortion: OpenCV's coefficients ``k1 k2 p1 p2 [k3 ...]``; of a fisheye
            model the four ``k1 .. k4``.
        rotation: (3, 3) R.
        translation: (3,) t in metres.
        fisheye: the distortion is OpenCV's fisheye (equidistant) model.

    Raises:
        DataError: a matrix has another shape or a number is not finite, a focal length is not positive, the
            rotation is none, or both cameras stand at the same place.
    """

    width: int
    height: int
    left: np.ndarray
    right: np.ndarray
    left_distortion: np.ndarray
    right_distortion: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    fisheye: bool = False

    def __post_init__(self) -> None:
        shapes = {"left": (3, 3), "right": (3, 3), "rotation": (3, 3), "translation": (3,)}
        for name in (*shapes, "left_distortion", "right_distortion"):
            array = np.array(getattr(self, name), dtype=np.float64)
            if name not in shapes or name == "translation":
                array = array.reshape(-1)
            if array.shape != shapes.get(name, array.shape):
                raise DataError(f"{name} of a stereo calibration has shape {array.shape}, not {shapes[name]}")
            if not np.isfinite(array).all():
                raise DataError(f"{name} of a stereo calibration holds numbers that are not finite")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        terms = (4,) if self.fisheye else DISTORTION_TERMS
        for name in ("left_distortion", "right_distortion"):
            if getattr(self, name).size not in terms:
                raise DataError(
                    f"{name} of a stereo calibration has {getattr(self, name).size} coefficients; "
                    f"{'the fisheye model has 4' if self.fisheye else 'OpenCV knows 4, 5, 8, 12 or 14'}"
                )
        if min(m[i, i] for m in (self.left, self.right) for i in (0, 1)) <= 0:
            raise DataError("a focal length of the stereo calibration is not positive")
        if min(self.width, self.height) < 1:
            raise DataError(f"the stereo calibration's image size is {self.width}x{self.height}")
        if not np.allclose(self.rotation @ self.rotation.T, np.eye(3), atol=1e-3):
            raise DataError(
                "the rotation between the cameras is no rotation matrix: its rows must be orthonormal"
            )
        if np.linalg.norm(self.translation) == 0:
            raise DataError("the translation between the cameras is zero: there is no baseline")

    @property
    def baseline(self) -> float:
        """Distance of the cameras in metres."""
        return float(np.linalg.norm(self.translation))

    def resized(self, width: int, height: int) -> StereoCameras:
        """The cameras of the same images at another size."""
        scale = np.array([width / self.width, height / self.height])

        def scaled(matrix: np.ndarray) -> np.ndarray:
            matrix = matrix.copy()
            matrix[:2] *= scale[:, None]
            matrix[:2, 2] += 0.5 * scale - 0.5  # a pixel's integer coordinate is its centre
            return matrix

        return replace(self, width=width, height=height, left=scaled(self.left), right=scaled(self.right))

    def with_unit(self, metres: float) -> StereoCameras:
        """The same with a translation that was given in units of so many metres."""
        return replace(self, translation=self.translation * metres)
