"""COCO detection data that stops on what mmdet's loader passes over in silence.

mmdet leaves out boxes of negative size and unknown categories, takes classes that the file lacks for
background, and shows a random other image for a broken one.
"""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset as MMDetCocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmengine.logging import print_log

from dense3d.datasets.scan.coco import check_annotations, check_image_files
from dense3d.datasets.scan.coco_file import describe_absent, read_coco
from dense3d.datasets.scan.report import Fault
from dense3d.datasets.strict import StrictSamples
from dense3d.errors import DataError
from dense3d.registry import DATASETS


@DATASETS.register_module()
class CocoDataset(StrictSamples, MMDetCocoDataset):
    """mmdet's COCO dataset with its annotations checked when they are read and its samples loaded strictly.

    Args:
        skip_bad_samples: leave out images that are broken or have faulty annotations, and log them,
            instead of stopping. What concerns the whole file, such as its format or classes, always stops.
        *args, **kwargs: as for mmdet's ``CocoDataset``.

    Raises:
        DataError: data root or annotation file missing, of another format or inconsistent with the
            classes; a faulty annotation; no image left.

    Attributes:
        left_out: faults for which ``skip_bad_samples`` left images out when the file was read.
    """

    def __init__(self, *args, skip_bad_samples: bool = False, **kwargs) -> None:
        self.left_out: list[Fault] = []
        super().__init__(*args, skip_bad_samples=skip_bad_samples, **kwargs)

    def COCOAPI(self, path: str) -> COCO:
        """Index of the annotations; mmdet calls this to read the file."""
        root = self.data_root
        if root and "://" not in root and not Path(root).is_dir():
            raise DataError(f"{root}: {describe_absent(Path(root))}; set data_root (layouts: data/README.md)")
        document = read_coco(self.ann_file)
        faults, _ = check_annotations(document, self.ann_file, self.metainfo.get("classes"))
        if self.skip_bad_samples:
            faults += check_image_files(document, self.data_prefix["img"], decode=False)
        whole_file = [fault for fault in faults if fault.image is None]
        if whole_file or (faults and not self.skip_bad_samples):
            self._stop(whole_file or faults)
        self._leave_out(document, faults)
        return index_of(document)

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

    def _stop(self, faults: list[Fault]) -> None:
        rest = f" [and {len(faults) - 1} more: dense3d browse CONFIG --check lists all]" if faults[1:] else ""
        raise DataError(f"{faults[0]}{rest}")

    def _leave_out(self, document: dict[str, Any], faults: list[Fault]) -> None:
        bad = {fault.image for fault in faults}
        if not bad:
            return
        self.left_out = faults
        for name, key in (("images", "id"), ("annotations", "image_id")):
            document[name] = [entry for entry in document[name] if entry[key] not in bad]
        message = (
            f"{self.ann_file}: {len(bad)} images are left out for {len(faults)} faults, first: {faults[0]}"
        )
        print_log(message, logger="current", level=logging.INFO)


def index_of(document: dict[str, Any]) -> COCO:
    """pycocotools' index of a document that :func:`read_coco` gave; nothing is read again."""
    coco = COCO()
    coco.dataset = document
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        coco.createIndex()
    coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
    return coco
