"""The file of one scene, ``<split>/<id>.npz``."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from dense3d.datasets.pointcloud.loading import Arrays
from dense3d.errors import DataError
from dense3d.files import atomic_write
from dense3d.structures.cloud_files.arrays import DAMAGE

# name in the file -> that of LoadPoints
NAMES = {
    "points": "points",
    "colors": "colors",
    "normals": "normals",
    "point_labels": "point_labels",
    "instances": "instances",
    "boxes": "gt_boxes",
    "box_labels": "gt_box_labels",
}
OF_BOXES = ("gt_boxes", "gt_box_labels")
SMALL = {"point_labels": np.int16, "instances": np.int32, "gt_box_labels": np.int16}


def write_scene(path: Path, arrays: Arrays, max_points: int = 0) -> None:
    """Write a scene, whole or not at all.

    Args:
        path: ends in ``.npz``; the points that are kept follow from its name.
        arrays: as :class:`~dense3d.datasets.pointcloud.loading.LoadPoints` gives them, labels of things.
        max_points: keep so many at random; 0 for all.

    Raises:
        DataError: there is no point.
    """
    count = len(arrays["points"])
    if not count:
        raise DataError(f"{path.stem} has no point")
    kept = np.arange(count)
    if max_points and count > max_points:
        random = np.random.default_rng(zlib.crc32(path.stem.encode()))
        kept = np.sort(random.permutation(count)[:max_points])
    stored = {}
    for name, key in NAMES.items():
        if arrays.get(key) is None:
            continue
        values = arrays[key] if key in OF_BOXES else arrays[key][kept]
        if key == "colors":
            values = np.rint(values * 255).astype(np.uint8)
        elif key == "normals":
            values = values.astype(np.float16)
        stored[name] = values.astype(SMALL.get(key, values.dtype))
    with atomic_write(path) as file:
        np.savez_compressed(file, **stored)


def read_scene(path: str | Path) -> Arrays:
    """The arrays of a scene by the names of :class:`~dense3d.datasets.pointcloud.loading.LoadPoints`.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {key: archive[name] for name, key in NAMES.items() if name in archive.files}
        found["points"] = found["points"].astype(np.float32).reshape(-1, 3)
        found["gt_boxes"] = found["gt_boxes"].astype(np.float32).reshape(-1, 7)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; dense3d prepare makes it again") from None
    except (*DAMAGE, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is damaged ({reason}); delete it, dense3d prepare makes it again") from None
    if "colors" in found:
        found["colors"] = found["colors"].astype(np.float32) / 255
    if "normals" in found:
        found["normals"] = found["normals"].astype(np.float32)
    for key in ("point_labels", "instances", "gt_box_labels"):
        if key in found:
            found[key] = found[key].astype(np.int64)
    return found
