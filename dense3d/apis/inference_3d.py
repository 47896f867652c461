"""3D boxes in :func:`dense3d.apis.infer`: calibrations come in beside images, KITTI's result lines go out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dense3d.datasets.kitti.calibration_file import read_calibration
from dense3d.datasets.kitti.objects import KittiObjects, write_objects
from dense3d.errors import DataError


def needs_calibration(pipeline: Iterable[dict]) -> bool:
    """Whether a pipeline prepares frames of a calibrated camera."""
    return any(str(step.get("type")).rpartition(".")[2] == "LoadKittiFrame" for step in pipeline)


def frame_fields(image: Path, calibration: str | Path | None) -> dict[str, Any]:
    """What a frame's sample holds beside the path of its image: ``frame``, its name, and ``calibration``.

    Args:
        image: path of the image.
        calibration: a calibration file of KITTI's format for all images, or a folder of such files with the
            images' names; None: the folder ``calib`` beside that of the image, as in KITTI.

    Raises:
        DataError: there is no such file, or it is faulty.
    """
    path = Path(calibration) if calibration is not None else image.parent.parent / "calib"
    if not path.is_file():
        path = path / f"{image.stem}.txt"
    if not path.is_file():
        raise DataError(
            f"{image} has no calibration: {path} does not exist; name a file for all images or a folder "
            "with a file for each (--calib)"
        )
    return {"frame": image.stem, "calibration": read_calibration(path)}


def write_lines(sample: Any, target: Path, threshold: float) -> None:
    """Write a frame's detections whose score reaches the threshold; the file may be empty."""
    found: KittiObjects = sample.predictions
    write_objects(target, found.select(found.scores >= threshold))
