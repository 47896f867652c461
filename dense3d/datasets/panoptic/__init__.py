"""COCO panoptic data: png maps of segment ids, their JSON files, conversions, and the data sets for training.

Names are imported on first use: evaluation reads the files without loading torch.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "VOID": "id_map",
    "ids_to_rgb": "id_map",
    "rgb_to_ids": "id_map",
    "read_id_map": "id_map",
    "write_id_map": "id_map",
    "segment_areas": "id_map",
    "PanopticFile": "files",
    "read_panoptic": "files",
    "read_predictions": "files",
    "write_panoptic": "files",
    "labels_of": "files",
    "decode_segments": "coding",
    "check_segments": "agreement",
    "counted_segments": "agreement",
    "Instance": "conversion",
    "instances_of": "conversion",
    "semantic_map_of": "conversion",
    "panoptic_of": "conversion",
    "label_map": "conversion",
    "to_coco_instances": "coco_instances",
    "decode_mask": "coco_instances",
    "panoptic_to_instances": "file_conversion",
    "panoptic_to_semantic": "file_conversion",
    "instances_to_panoptic": "file_conversion",
    "read_categories": "file_conversion",
    "CocoPanopticDataset": "dataset",
    "CityscapesPanopticDataset": "dataset",
    "ADE20KPanopticDataset": "dataset",
    "LoadPanopticAnnotations": "loading",
    "RandomCropKeepingThings": "cropping",
    "PanopticCopyPaste": "copy_paste",
    "RedrawUnlabelled": "copy_paste",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
