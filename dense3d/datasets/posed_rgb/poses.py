"""Numbers of files turned into cameras, with the checks that all layouts share."""

from __future__ import annotations

from typing import Any

import numpy as np

from dense3d.errors import DataError
from dense3d.structures.camera import PinholeCamera

# OpenGL's and Blender's camera axes are x right, y up, z backwards.
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
RIGID_TOLERANCE = 0.02
OFF_CENTRE = 0.25  # a principal point so far from the middle, in multiples of the size, is of another image


class UnknownPoseError(DataError):
    """A camera's pose is not finite: whoever tracked the camera had lost it there."""


def pose_of(matrix: Any, where: str) -> np.ndarray:
    """A rigid (4, 4) float64 camera-to-world matrix.

    Matrices with rounded numbers become exactly rigid, and a scale that is equal in all directions, which
    Blender leaves in some, goes.

    Args:
        matrix: (4, 4) or (3, 4) numbers.
        where: file and item, for messages.

    Raises:
        UnknownPoseError: a number is not finite.
        DataError: the shape is wrong, or the matrix mirrors or shears.
    """
    try:
        values = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where} is no matrix of numbers") from None
    if values.shape not in ((4, 4), (3, 4)):
        raise DataError(f"{where} has the shape {values.shape}, not (4, 4) or (3, 4)")
    if not np.isfinite(values).all():
        raise UnknownPoseError(f"{where} is not finite: the camera was lost there")
    rotation, scale = values[:3, :3], np.cbrt(abs(np.linalg.det(values[:3, :3])))
    if np.linalg.det(rotation) < 0:
        raise DataError(
            f"{where} mirrors (its determinant is negative): such axes are left-handed, as Unity's (x right, "
            "y up, z forward); OpenGL's (x right, y up, z backwards) and OpenCV's (x right, y down, z "
            "forward) are right-handed; negate the second column for OpenCV's, or the third for OpenGL's"
        )
    left, sizes, right = np.linalg.svd(rotation)
    if scale == 0 or np.abs(sizes / scale - 1).max() > RIGID_TOLERANCE:
        raise DataError(f"{where} is no rigid motion: it stretches by {np.array2string(sizes, precision=3)}")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = left @ right, values[:3, 3]
    return pose


def pinhole(
    size: tuple[int, int],
    focal: tuple[float, float],
    center: tuple[float, float],
    pose: np.ndarray,
    where: str,
) -> PinholeCamera:
    """A camera, if its numbers can be those of images of this size.

    Args:
        size: width and height in pixels.
        focal: horizontal and vertical, pixels.
        center: principal point in coordinates whose whole numbers are pixel centres.
        pose: (4, 4) camera to world, OpenCV axes.
        where: file and item, for messages.

    Raises:
        DataError: a number is not finite or positive, or the principal point is far from the middle.
    """
    numbers = [*size, *focal, *center]
    if not np.isfinite(numbers).all() or min(*size, *focal) <= 0:
        raise DataError(
            f"{where}: size {size[0]} x {size[1]}, focal lengths {focal} and principal point {center} must "
            "be finite, size and focal lengths positive"
        )
    for name, middle, side in (("cx", center[0], size[0]), ("cy", center[1], size[1])):
        if abs(middle + 0.5 - side / 2) > OFF_CENTRE * side:
            raise DataError(
                f"{where}: {name} is {middle:g} in an image of {size[0]} x {size[1]} pixels: the intrinsics "
                "belong to another image size; scale them like the images"
            )
    matrix = np.array([[focal[0], 0, center[0]], [0, focal[1], center[1]], [0, 0, 1]], dtype=np.float64)
    return PinholeCamera(int(size[0]), int(size[1]), matrix, pose)
