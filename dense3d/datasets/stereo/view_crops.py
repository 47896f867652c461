"""Crops of two views of a scene that need not show the same part, as cross-view completion sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.errors import DataError
from dense3d.registry import TRANSFORMS

TRUTHS = ("disparity", "depth", "flow", "nonoccluded")


@TRANSFORMS.register_module()
class RandomCropEachView(BaseTransform):
    """A random window of each view, drawn for each by itself (Weinzaepfel et al., "CroCo", NeurIPS 2022).

    The windows are elsewhere in the two images, so that the pair is rectified no more: there must be no
    ground truth, and the rig is forgotten.

    Args:
        size: height and width.

    Raises:
        DataError: an image is smaller, or there is ground truth.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop a pair."""
        known = [name for name in TRUTHS if results.get(name) is not None]
        if known:
            raise DataError(
                f"{results.get('left_path')}: views that are cropped one by one have no {known[0]} any more; "
                "load them with LoadStereo(with_truth=False)"
            )
        for side in ("left", "right"):
            results[side] = self._crop(results[side], results.get(f"{side}_path", side))
        results["rig"], results["img_shape"] = None, self.size
        return results

    def _crop(self, image: np.ndarray, name: str) -> np.ndarray:
        room = [have - wanted for have, wanted in zip(image.shape[:2], self.size)]
        if min(room) < 0:
            raise DataError(
                f"{name} is {image.shape[1]} x {image.shape[0]} pixels, less than the crop of "
                f"{self.size[1]} x {self.size[0]}: resize it before, or crop less"
            )
        top, left = (np.random.randint(n + 1) for n in room)
        return image[top : top + self.size[0], left : left + self.size[1]]
