"""Folders of npy files as Pointcept prepares ScanNet, S3DIS and others, one folder a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.loading import Arrays, reader
from dense3d.errors import DataError
from dense3d.structures.cloud_files.arrays import load_npy, read_folder
from dense3d.structures.cloud_files.columns import whole_numbers
from dense3d.structures.cloud_files.judging import unit_colors

POINTCEPT = "pointcept"


@reader(POINTCEPT)
def _read_folder(record: dict[str, Any]) -> Arrays:
    """A folder of npy files as Pointcept writes them: see :func:`read_pointcept`."""
    return read_pointcept(Path(record["path"]), record.get("segment"))


def read_pointcept(folder: Path, segment: str | None = None) -> Arrays:
    """``coord``, ``color``, ``normal``, a segment file, ``instance`` and ``boxes`` of a folder.

    Colours are in 0..255, or floats none of which exceeds 1.

    Args:
        folder: of npy files; only ``coord.npy`` must be there.
        segment: name of the labels' file, such as ``"segment20"``; None takes the first of the usual ones.

    Raises:
        DataError: ``coord.npy`` is missing, or a file is damaged or of another length.
    """
    raw, count = read_folder(folder, None, 0)
    found = {"points": raw["points"]}
    if "colors" in raw:
        is_unit = raw["colors"].dtype.kind == "f" and not (raw["colors"] > 1).any()
        found["colors"] = unit_colors(raw["colors"], folder / "color.npy", color_max=1 if is_unit else 255)
    if "normals" in raw:
        found["normals"] = raw["normals"].astype(np.float32)
    if segment is not None:
        raw["labels"] = load_npy(folder / f"{segment}.npy", mapped=False)
    for name, key, file in (
        ("labels", "point_labels", segment or "segment"),
        ("instance", "instances", "instance"),
    ):
        if name == "instance" and (folder / "instance.npy").is_file():
            raw[name] = load_npy(folder / "instance.npy", mapped=False)
        if name in raw:
            values = whole_numbers(np.asarray(raw[name]).reshape(-1), folder / f"{file}.npy")
            if len(values) != count:
                raise DataError(f"{folder / file}.npy has {len(values)} labels for {count} points")
            found[key] = values
    if (folder / "boxes.npy").is_file():
        boxes = load_npy(folder / "boxes.npy", mapped=False)
        if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 8 or boxes.dtype.kind not in "iuf"):
            raise DataError(
                f"{folder / 'boxes.npy'} is {boxes.dtype} of shape {boxes.shape}; boxes are (K, 8): centre, "
                "full sizes, yaw, label"
            )
        boxes = boxes.reshape(-1, 8)
        found["gt_boxes"], found["gt_box_labels"] = (
            boxes[:, :7].astype(np.float32),
            whole_numbers(boxes[:, 7], folder / "boxes.npy"),
        )
    return found
