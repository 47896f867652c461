"""Writers of the data sets' own layouts, by name; one file a layout."""

from __future__ import annotations

from dense3d.datasets.synthetic.writers.ade20k import ADE20KWriter
from dense3d.datasets.synthetic.writers.base import Writer
from dense3d.datasets.synthetic.writers.class_folders import ClassFolderWriter
from dense3d.datasets.synthetic.writers.coco import CocoWriter
from dense3d.datasets.synthetic.writers.coco_panoptic import CocoPanopticWriter
from dense3d.datasets.synthetic.writers.kitti import KittiWriter
from dense3d.datasets.synthetic.writers.posed import PosedWriter
from dense3d.datasets.synthetic.writers.stereo import StereoWriter

WRITERS: dict[str, type[Writer]] = {
    "coco": CocoWriter,
    "coco_panoptic": CocoPanopticWriter,
    "ade20k": ADE20KWriter,
    "kitti": KittiWriter,
    "stereo": StereoWriter,
    "posed": PosedWriter,
    "classes": ClassFolderWriter,
}

__all__ = ["WRITERS", "Writer"]
