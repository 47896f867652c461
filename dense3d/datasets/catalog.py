"""Imports every module that registers a dataset or a transform; the registries load it on first use."""

from __future__ import annotations

from dense3d.datasets import coco
from dense3d.datasets.images import dataset as images_dataset
from dense3d.datasets.images import transforms as images_transforms
from dense3d.datasets.kitti import dataset as kitti_dataset
from dense3d.datasets.kitti import transforms as kitti_transforms
from dense3d.datasets.panoptic import copy_paste as panoptic_copy_paste
from dense3d.datasets.panoptic import cropping as panoptic_cropping
from dense3d.datasets.panoptic import dataset as panoptic_dataset
from dense3d.datasets.panoptic import loading as panoptic_loading

__all__ = [
    "coco",
    "images_dataset",
    "images_transforms",
    "kitti_dataset",
    "kitti_transforms",
    "panoptic_copy_paste",
    "panoptic_cropping",
    "panoptic_dataset",
    "panoptic_loading",
]
