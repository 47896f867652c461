"""Rectification: both images turned so that matching points share a row (OpenCV's ``stereoRectify``).

Bouguet's method as in OpenCV: each camera turns by half of the rotation between them, then both so that the
baseline is horizontal.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dense3d.errors import DataError
from dense3d.structures import RectifiedRig
from dense3d.structures.stereo_cameras import StereoCameras


@dataclass(frozen=True)
class _Side:
    turn: np.ndarray  # (3, 3) from the camera's frame into the rectified one
    maps: tuple[np.ndarray, np.ndarray]  # where each rectified pixel lies in the photograph


class Rectifier:
    """Turns photographs of a calibrated pair into rectified ones of the same size.

    Args:
        cameras: the calibration.
        alpha: 0: only pixels that both photographs have; 1: all pixels of the photographs, with black edges.
        size: (width, height) of the rectified images; that of the photographs unless given.

    Attributes:
        rig: of the rectified images.
        rotation: (3, 3) from the left camera's frame into the rectified left one.

    Raises:
        DataError: ``alpha`` is not in [0, 1], the cameras stand one above the other or one behind the other,
            or no pixel is left.
    """

    def __init__(
        self, cameras: StereoCameras, alpha: float = 0.0, size: tuple[int, int] | None = None
    ) -> None:
        if not 0 <= alpha <= 1:
            raise DataError(f"alpha={alpha} must lie between 0 and 1")
        x, y, z = np.abs(cameras.translation)
        if x < max(y, z):
            raise DataError(
                "the second camera stands mostly "
                + ("above or below" if y > z else "before or behind")
                + f" the first (translation {np.round(cameras.translation, 4).tolist()}): pairs are made of "
                "cameras side by side; turn photographs of a vertical rig by 90 degrees and calibrate those"
            )
        self.cameras, self.size = cameras, size or (cameras.width, cameras.height)
        turns, projections = self._solve(alpha)
        self.rotation = turns[0]
        left, right = projections
        focal, baseline = left[0, 0], -right[0, 3] / right[0, 0]
        if not np.isfinite([focal, baseline]).all() or focal <= 0:
            raise DataError("rectification leaves no pixel: the cameras look into too different directions")
        self.swapped = baseline < 0
        self.rig = RectifiedRig(
            focal=float(focal),
            baseline=float(abs(baseline)),
            cx=float(left[0, 2]),
            cy=float(left[1, 2]),
            width=self.size[0],
            height=self.size[1],
            focal_y=float(left[1, 1]),
            doffs=float(right[0, 2] - left[0, 2]),
        )
        self.sides = tuple(
            _Side(turn, self._maps(matrix, distortion, turn, projection))
            for matrix, distortion, turn, projection in zip(
                (cameras.left, cameras.right),
                (cameras.left_distortion, cameras.right_distortion),
                turns,
                projections,
            )
        )

    def _solve(self, alpha: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Turns (3, 3) and projections (3, 4) of both cameras."""
        one = self.cameras
        size, translation = (one.width, one.height), one.translation.reshape(3, 1)
        left, right = np.array(one.left), np.array(one.right)
        if one.fisheye:
            first, second, p1, p2, _ = cv2.fisheye.stereoRectify(
                left,
                np.array(one.left_distortion),
                right,
                np.array(one.right_distortion),
                size,
                np.array(one.rotation),
                translation,
                cv2.CALIB_ZERO_DISPARITY,
                newImageSize=self.size,
                balance=alpha,
            )
        else:
            first, second, p1, p2, *_ = cv2.stereoRectify(
                left,
                np.array(one.left_distortion),
                right,
                np.array(one.right_distortion),
                size,
                np.array(one.rotation),
                translation,
                flags=cv2.CALIB_ZERO_DISPARITY,
                alpha=alpha,
                newImageSize=self.size,
            )
        return [first, second], [p1, p2]

    def _maps(
        self, matrix: np.ndarray, distortion: np.ndarray, turn: np.ndarray, projection: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        make = cv2.fisheye.initUndistortRectifyMap if self.cameras.fisheye else cv2.initUndistortRectifyMap
        return make(np.array(matrix), np.array(distortion), turn, projection[:, :3], self.size, cv2.CV_32FC1)

    def __call__(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rectify both images ``(H, W, 3)`` or ``(H, W)`` of the calibrated size.

        Raises:
            DataError: an image has another size than the calibration.
        """
        wanted = (self.cameras.height, self.cameras.width)
        for name, image in (("left", left), ("right", right)):
            if image.shape[:2] != wanted:
                height, width = image.shape[:2]
                raise DataError(
                    f"the {name} image is {width}x{height}, calibrated are {wanted[1]}x{wanted[0]}"
                )
        pair = [
            cv2.remap(image, *side.maps, cv2.INTER_LINEAR) for image, side in zip((left, right), self.sides)
        ]
        return pair[0], pair[1]
