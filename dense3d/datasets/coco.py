"""COCO detection data that stops on what mmdet's loader passes over in silence.

mmdet leaves out boxes of negative size and unknown categories, takes classes that the file lacks for
background, and shows a random other image for a broken one.
"""

from __future__ import annotations

import contextlib
import io
import logging
from functools import cache
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset as MMDetCocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmengine.logging import print_log

from dense3d.datasets.scan.coco import check_image_files, findings_of, masks_wanted
from dense3d.datasets.scan.coco_file import describe_absent, leave_out, open_coco, raise_first
from dense3d.datasets.scan.report import Fault
from dense3d.datasets.strict import StrictSamples
from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.files import is_folder
from dense3d.registry import DATASETS

FILTERS = ("filter_empty_gt", "min_size")


class CheckedCoco(StrictSamples):
    """Mixin, to be named before mmdet's ``CocoDataset`` or a subclass, that checks what is read.

    Args:
        skip_bad_samples: leave out images that are broken or have faulty annotations, and log them,
            instead of stopping. What concerns the whole file, such as its format or classes, always stops.
        allow_lost_boxes: go on although more than half of the boxes is smaller than a pixel, and left out.
        *args, **kwargs: as for mmdet's class.

    Raises:
        ConfigError: ``filter_cfg`` has an unknown key.
        DataError: data root or annotation file missing, of another format or inconsistent with the
            classes; a faulty annotation; no image left.

    Attributes:
        left_out: faults for which ``skip_bad_samples`` left images out when the file was read.
    """

    def __init__(
        self, *args, skip_bad_samples: bool = False, allow_lost_boxes: bool = False, **kwargs
    ) -> None:
        self.left_out: list[Fault] = []
        self.allow_lost_boxes = allow_lost_boxes
        super().__init__(*args, skip_bad_samples=skip_bad_samples, **kwargs)

    def COCOAPI(self, path: str) -> COCO:
        """Index of the annotations; mmdet calls this to read the file."""
        root = self.data_root
        if root and "://" not in root and not is_folder(root):
            raise DataError(f"{root}: {describe_absent(Path(root))}; set data_root (layouts: data/README.md)")
        _check_filters(self.filter_cfg)
        masks, polygons_only = masks_wanted(self.pipeline.transforms)
        opened = open_coco(path, masks=masks, annotations=not self.test_mode)
        document, classes = opened.document, self.metainfo.get("classes")
        faults, _ = findings_of(opened, classes, self.allow_lost_boxes, polygons_only)
        if self.skip_bad_samples:
            faults += check_image_files(document, self.data_prefix["img"], decode=False)
        whole_file = [fault for fault in faults if fault.image is None]
        if whole_file or not self.skip_bad_samples:
            raise_first(whole_file or faults)
        self._leave_out(document, faults)
        return index_of(document)

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """A sample; see mmdet. Boxes under one pixel count in evaluation, but are not learned."""
        info = super().parse_data_info({**raw_data_info, "raw_ann_info": []})
        smallest = 0 if self.test_mode else 1
        info["instances"] = [
            self._instance(annotation)
            for annotation in raw_data_info["raw_ann_info"]
            if annotation["category_id"] in self.cat2label and min(annotation["bbox"][2:]) >= smallest
        ]
        return info

    def _instance(self, annotation: dict[str, Any]) -> dict[str, Any]:
        x, y, width, height = annotation["bbox"]
        instance = dict(
            ignore_flag=annotation["iscrowd"],
            bbox=[x, y, x + width, y + height],
            bbox_label=self.cat2label[annotation["category_id"]],
        )
        return {**instance, "mask": annotation["segmentation"]} if annotation["segmentation"] else instance

    def prepare_data(self, idx: int) -> Any:
        """A sample after the pipeline; see mmengine.

        Raises:
            DataError: the image has another size than the file says, in which its masks would be drawn.
        """
        info = self.get_data_info(idx)
        stated = info["width"], info["height"]
        data = self.pipeline(info)
        seen = tuple(info.get("ori_shape", ())[1::-1])
        if seen and seen != stated:
            raise DataError(
                f"{info['img_path']}: the image is {seen[0]} x {seen[1]} pixels but the annotations say "
                f"{stated[0]} x {stated[1]}; correct width and height there"
            )
        return data

    def filter_data(self) -> list[dict]:
        """Samples that pass ``filter_cfg``; see mmdet."""
        kept = super().filter_data()
        if not kept:
            raise DataError(
                f"{self.ann_file}: none of its {len(self.data_list)} images is left: none has an object of "
                f"the classes, or all are smaller than min_size (filter_cfg is {self.filter_cfg})"
            )
        return kept

    def bad_samples(self) -> list[str]:
        """A sentence for each fault for which an image was left out, at reading or at loading."""
        return [*map(str, self.left_out), *super().bad_samples()]

    def _leave_out(self, document: dict[str, Any], faults: list[Fault]) -> None:
        bad = {fault.image for fault in faults}
        if not bad:
            return
        self.left_out = faults
        leave_out(document, bad)
        message = (
            f"{self.ann_file}: {len(bad)} images are left out for {len(faults)} faults, first: {faults[0]}"
        )
        print_log(message, logger="current", level=logging.INFO)


@DATASETS.register_module()
class CocoDataset(CheckedCoco, MMDetCocoDataset):
    """mmdet's COCO dataset with its annotations checked when they are read and its samples loaded strictly.

    See :class:`CheckedCoco` for its arguments beyond mmdet's. It takes the place of mmdet's own in loaders.
    """


def checked_class(cls: type) -> type:
    """The class to build for a dataset class: a checked one for mmdet's ``CocoDataset`` and its kin."""
    if cls is MMDetCocoDataset:
        return CocoDataset
    plain = issubclass(cls, MMDetCocoDataset) and not issubclass(cls, CheckedCoco)
    if not plain or cls.COCOAPI is not COCO or cls.load_data_list is not MMDetCocoDataset.load_data_list:
        return cls
    return _checked_subclass(cls)


@cache
def _checked_subclass(cls: type) -> type:
    # A class made here has no name to be imported by: it is pickled as the class that it extends.
    body = {"__reduce__": lambda self: (_restore, (cls, self.__dict__)), "__module__": cls.__module__}
    return type(cls.__name__, (CheckedCoco, cls), body)


def _restore(cls: type, state: dict[str, Any]) -> Any:
    dataset = object.__new__(_checked_subclass(cls))
    dataset.__dict__.update(state)
    return dataset


def _check_filters(filters: dict[str, Any] | None) -> None:
    for key in filters or {}:
        if key not in FILTERS:
            raise ConfigError(
                f"filter_cfg has no {key!r}; it knows {' and '.join(FILTERS)}{did_you_mean(key, FILTERS)}"
            )


def index_of(document: dict[str, Any]) -> COCO:
    """pycocotools' index of a document that :func:`read_coco` gave; nothing is read again."""
    coco = COCO()
    coco.dataset = document
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        coco.createIndex()
    coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
    return coco
