"""Panoptic annotations in mmdet's pipelines: loaded, and cropped with every thing kept as a target.

mmdet's own loading step needs the panopticapi package.
"""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.structures.mask import BitmapMasks

from dense3d.datasets.panoptic.agreement import check_segments
from dense3d.datasets.panoptic.conversion import IGNORED, label_map
from dense3d.datasets.panoptic.id_map import read_id_map, segment_areas
from dense3d.errors import DataError
from dense3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadPanopticAnnotations(LoadAnnotations):
    """Boxes, labels and masks of the things and the map of classes, as mmdet's step of this name gives them.

    Needs ``seg_map_path``, ``segments_info`` (``id``, ``category``, ``is_thing``) and ``instances``, as
    :class:`~dense3d.datasets.panoptic.CocoPanopticDataset` and mmdet's give them; without ``seg_map_path``
    there is nothing to load. Sets ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_ignore_flags``, ``gt_masks``
    and ``gt_seg_map``: ``(H, W)`` uint8 labels, things first, 255 where no class is known.

    Args:
        with_bbox, with_label, with_mask, with_seg: what to load.
        strict: refuse images whose png and ``segments_info`` disagree. Otherwise ids that are not listed
            become void and segments without pixels are left out.

    Raises:
        DataError: the png is missing, broken, of another size than the image or disagrees with
            ``segments_info``; a label does not fit into 8 bits.
    """

    def __init__(
        self,
        with_bbox: bool = True,
        with_label: bool = True,
        with_mask: bool = True,
        with_seg: bool = True,
        strict: bool = True,
    ) -> None:
        super().__init__(with_bbox=with_bbox, with_label=with_label, with_mask=with_mask, with_seg=with_seg)
        self.strict = strict

    def transform(self, results: dict) -> dict:
        """Add the annotations to ``results``."""
        if results.get("seg_map_path") is None:
            return results
        ids = self._read(results)
        if self.strict:
            where = f"{results['seg_map_path']}: image {results.get('img_id')}"
            check_segments(ids, results["segments_info"], where, results["seg_map_path"])
        else:
            numbers, _ = segment_areas(ids)
            self._leave_out_absent(results, set(numbers.tolist()))
        if self.with_bbox:
            self._load_bboxes(results)
        if self.with_label:
            self._load_labels(results)
        if self.with_mask:
            things = [segment["id"] for segment in results["segments_info"] if segment["is_thing"]]
            masks = [(ids == number).astype(np.uint8) for number in things]
            results["gt_masks"] = BitmapMasks(masks, *ids.shape)
        if self.with_seg:
            labels = {segment["id"]: segment["category"] for segment in results["segments_info"]}
            results["gt_seg_map"] = label_map(ids, labels)
            results["ignore_index"] = IGNORED
        return results

    def _read(self, results: dict) -> np.ndarray:
        ids = read_id_map(results["seg_map_path"])
        size = tuple(results.get("ori_shape", (results["height"], results["width"]))[:2])
        if ids.shape != size:
            raise DataError(
                f"{results['seg_map_path']}: {ids.shape[1]} x {ids.shape[0]} pixels, but its image "
                f"{results.get('img_path')} has {size[1]} x {size[0]}; pair each image with its own map"
            )
        return ids

    @staticmethod
    def _leave_out_absent(results: dict, present: set[int]) -> None:
        """Instances stand for the things of ``segments_info``, in their order; keep the two in step."""
        segments = results["segments_info"]
        if all(segment["id"] in present for segment in segments):
            return
        things = [segment for segment in segments if segment["is_thing"]]
        pairs = zip(things, results["instances"])
        results["instances"] = [instance for thing, instance in pairs if thing["id"] in present]
        results["segments_info"] = [segment for segment in segments if segment["id"] in present]


@TRANSFORMS.register_module()
class RandomCropKeepingThings(BaseTransform):
    """Crop image, map of classes and masks; things that lie outside stay, with empty masks.

    Mask2Former's panoptic loader does so (``COCOPanopticNewBaselineDatasetMapper``): some query has to name
    such a thing and to mark no pixel. mmdet's ``RandomCrop`` leaves these things out.

    Needs ``img``; crops ``gt_seg_map`` and ``gt_masks`` where they are there and sets ``gt_bboxes`` to the
    boxes around the masks, zeros around empty ones.

    Args:
        crop_size: width and height in pixels; an image that is smaller stays whole on that side.
    """

    def __init__(self, crop_size: tuple[int, int]) -> None:
        self.crop_size = tuple(crop_size)

    def transform(self, results: dict) -> dict:
        """Crop at a random place."""
        height, width = results["img"].shape[:2]
        w, h = min(self.crop_size[0], width), min(self.crop_size[1], height)
        top, left = np.random.randint(height - h + 1), np.random.randint(width - w + 1)
        window = slice(top, top + h), slice(left, left + w)
        results["img"], results["img_shape"] = results["img"][window], (h, w)
        if "gt_seg_map" in results:
            results["gt_seg_map"] = results["gt_seg_map"][window]
        if "gt_masks" in results:
            masks = results["gt_masks"].crop(np.array([left, top, left + w, top + h]))
            results["gt_masks"], results["gt_bboxes"] = masks, masks.get_bboxes("hbox")
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(crop_size={self.crop_size})"
