"""The data scan: what is found, missing, empty or corrupt in a data set, with file, rule and value.

    report = scan_coco("annotations/instances_train2017.json", "train2017")
    print(report.table())
    report.raise_if_faulty()

Names are imported on first use.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "Fault": "report",
    "ScanReport": "report",
    "merged_table": "report",
    "check_image": "images",
    "scan_coco": "coco",
    "scan_panoptic": "panoptic",
    "scan_segmentation": "segmentation",
    "scanner": "datasets",
    "scan_dataset": "datasets",
    "scan_config": "datasets",
    "scan_before_training": "datasets",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
