"""Calibrations that detectors of 3D boxes need beside images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dense3d.datasets.kitti.calibration_file import read_calibration
from dense3d.errors import DataError
from dense3d.files import is_file
from dense3d.structures import KittiCalibration

Calibration = str | Path | KittiCalibration | None


def needs_calibration(pipeline: Iterable[dict]) -> bool:
    """Whether a pipeline prepares frames of a calibrated camera."""
    return any(str(step.get("type")).rpartition(".")[2] == "LoadKittiFrame" for step in pipeline)


def calibration_for(name: str, image: Path | None, given: Calibration) -> KittiCalibration:
    """The calibration of an image.

    Args:
        name: of the image, for messages.
        image: its file, or None.
        given: a calibration; a calibration file of KITTI's format for all images; or a folder of such files
            with the images' names. None: the folder ``calib`` beside that of the image, as in KITTI.

    Raises:
        DataError: there is no such file, or it is faulty.
    """
    if isinstance(given, KittiCalibration):
        return given
    if image is None and (given is None or not is_file(given)):
        raise DataError(
            f"{name} is no file, so that no calibration is found by its name: give calibration=..."
        )
    path = Path(given) if given is not None else image.parent.parent / "calib"
    if not is_file(path):
        path = path / f"{image.stem}.txt"
    if not is_file(path):
        raise DataError(
            f"{image} has no calibration: {path} does not exist; name a file for all images or a folder "
            "with a file for each (--calib)"
        )
    return read_calibration(path, needed=("P2",))  # of the camera that took the image
