"""Plain data: cameras, calibrations and oriented boxes. Names are imported on first use."""

from __future__ import annotations

import importlib

_HOMES = {
    "Boxes3D": "boxes3d",
    "KittiCalibration": "kitti_calibration",
    "PinholeCamera": "camera",
    "ProjectedBoxes": "projected_boxes",
    "alpha_from_rotation_y": "boxes3d",
    "occlusion_level": "occlusion",
    "project_boxes": "projected_boxes",
    "rotation_y_from_alpha": "boxes3d",
    "wrap_angle": "boxes3d",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
