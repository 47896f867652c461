"""Random crops that keep every thing of the image as a target."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.registry import TRANSFORMS


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
