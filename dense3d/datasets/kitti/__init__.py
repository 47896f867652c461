"""KITTI's object data: readers and writers of its files, and the data set for training.

Names are imported on first use: evaluation reads label files without loading torch.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "CLASSES": "objects",
    "KittiObjects": "objects",
    "format_objects": "objects",
    "parse_objects": "objects",
    "read_objects": "objects",
    "write_objects": "objects",
    "read_calibration": "calibration_file",
    "write_calibration": "calibration_file",
    "frame_id": "frames",
    "list_frames": "frames",
    "read_image_set": "frames",
    "write_image_set": "frames",
    "read_velodyne": "velodyne",
    "write_velodyne": "velodyne",
    "write_results": "results",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
