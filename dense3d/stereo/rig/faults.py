"""What is wrong with a calibration before a pixel is looked at: its unit, and the image size it is for."""

from __future__ import annotations

import numpy as np

from dense3d.structures.stereo_cameras import StereoCameras

UNITS = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254}
NEAREST, FURTHEST = 0.01, 5.0  # metres between the cameras of a rig
CENTRAL = 0.15  # share of the side that a principal point may be off the middle
ALIKE, OFF_ALIKE = 0.03, 0.04  # the same of all four, where they are off by shares that differ by less


def calibration_faults(cameras: StereoCameras, width: int, height: int) -> list[str]:
    """A sentence for each fault, with the remedy; none for a sound calibration.

    Args:
        cameras: the calibration, its translation taken as metres.
        width, height: size of the images that it is used for, in pixels.
    """
    faults = []
    if not NEAREST <= cameras.baseline <= FURTHEST:
        fitting = [unit for unit, metres in UNITS.items() if 0.02 <= cameras.baseline * metres <= 2]
        faults.append(
            f"the baseline is {cameras.baseline:g} m, which no rig has: depth will be wrong by a factor"
            + (f"; if the calibration is in {fitting[0]}, give --unit {fitting[0]}" if fitting else "")
        )
    if (cameras.width, cameras.height) != (width, height):
        ratio = width / cameras.width
        same_shape = abs(ratio - height / cameras.height) < 0.01 * ratio
        faults.append(
            f"the calibration is of {cameras.width}x{cameras.height} images, these are {width}x{height}"
            + (
                ": give --scale-intrinsics if they were only scaled"
                if same_shape
                else ", which is another shape: cropped images need a calibration of their own"
            )
        )
    else:
        faults += _off_centre(cameras)
    return faults


def _off_centre(cameras: StereoCameras) -> list[str]:
    size = np.array([cameras.width, cameras.height])
    centres = {"left": cameras.left[:2, 2], "right": cameras.right[:2, 2]}
    off = np.concatenate([centre / size - 0.5 for centre in centres.values()])  # (4,)
    scaled = np.ptp(off) < ALIKE and abs(off.mean()) > OFF_ALIKE  # both sides of both images by one factor
    faults = []
    for name, (x, y) in centres.items():
        if scaled or np.abs([x, y] / size - 0.5).max() > CENTRAL:
            faults.append(
                f"the {name} camera's principal point ({x:.0f}, {y:.0f}) is far from the middle of "
                f"{cameras.width}x{cameras.height} images: its intrinsics are of another size, about "
                f"{round(2 * x)}x{round(2 * y)}; calibrate with the size of the photographs, or scale them"
            )
    return faults
