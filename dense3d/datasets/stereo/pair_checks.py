"""Does what is said to belong together do so: rig and images, images and ground truth."""

from __future__ import annotations

import numpy as np

from dense3d.errors import DataError
from dense3d.structures.rectified_rig import RectifiedRig

SAMPLES = 4000  # pixels that the order of a pair is judged by
LEAST = 200
OFF_CENTRE = 0.25  # of the image's size: how far from its middle a principal point is taken for its own


def check_rig(rig: RectifiedRig, shape: tuple[int, int], where: str) -> None:
    """Complain about a calibration that belongs to images of another size.

    Args:
        rig: of the pair.
        shape: height and width of its images.
        where: file of the left image, for the message.

    Raises:
        DataError: the rig's size is another one, or its principal point is far from the middle.
    """
    height, width = shape
    if (rig.width, rig.height) != (width, height):
        raise DataError(
            f"{where} is {width} x {height} pixels, but its calibration belongs to images of {rig.width} x "
            f"{rig.height}: take the calibration of these images"
        )
    for name, centre, side in (("cx", rig.cx, width), ("cy", rig.cy, height)):
        if abs(centre / side - 0.5) > OFF_CENTRE:
            raise DataError(
                f"{where} is {width} x {height} pixels, but the principal point of its calibration has "
                f"{name} = {centre:g}: the calibration belongs to images of another size or crop"
            )


def is_swapped(left: np.ndarray, right: np.ndarray, disparity: np.ndarray) -> bool:
    """Whether ground truth says that left and right are exchanged.

    With disparity d of the left image, ``left(x)`` resembles ``right(x - d)``. Where it does so less than
    half as well as ``right(x)`` resembles ``left(x - d)``, the images are exchanged. Too few pixels, or a
    pair that resembles itself neither way, say nothing.

    Args:
        left, right: (H, W, 3).
        disparity: (H, W) pixels, negative for a mirrored pair, not finite where unknown.
    """
    width = disparity.shape[1]
    columns = np.arange(width)
    with np.errstate(invalid="ignore"):
        rounded = np.where(np.isfinite(disparity), np.rint(disparity), 10 * width).astype(np.int64)
        there = (columns - rounded >= 0) & (columns - rounded < width) & (np.abs(rounded) >= 2)
    rows, columns = np.nonzero(there)
    if len(rows) < LEAST:
        return False
    chosen = np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows))).astype(np.int64)
    rows, columns = rows[chosen], columns[chosen]
    matches = columns - rounded[rows, columns]
    right_way = _difference(left[rows, columns], right[rows, matches])
    other_way = _difference(right[rows, columns], left[rows, matches])
    return right_way > 4 and right_way > 2 * other_way


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.float32) - other).mean())
