"""What is wrong with a calibration before a pixel is looked at: its unit, and the image size it is for."""

from __future__ import annotations

from dense3d.structures.stereo_cameras import StereoCameras

UNITS = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254}
NEAREST, FURTHEST = 0.01, 5.0  # metres between the cameras of a rig
CENTRAL = 0.15  # share of the side that a principal point may be off the middle


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
    faults = []
    for name, matrix in (("left", cameras.left), ("right", cameras.right)):
        shares = matrix[0, 2] / cameras.width, matrix[1, 2] / cameras.height
        if max(abs(share - 0.5) for share in shares) > CENTRAL:
            whole = [round(2 * float(value)) for value in matrix[:2, 2]]
            faults.append(
                f"the {name} camera's principal point ({matrix[0, 2]:.0f}, {matrix[1, 2]:.0f}) is far from "
                f"the middle of {cameras.width}x{cameras.height} images: its intrinsics are of another size, "
                f"about {whole[0]}x{whole[1]}; calibrate with the size of the photographs, or scale them"
            )
    return faults
