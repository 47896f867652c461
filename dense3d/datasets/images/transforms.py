"""Transforms for images without labels.

Pillow resizes, as in the official code; torch 2.15 gets the last pixel of a cropped uint8 tensor wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torchvision.transforms.v2 as vision
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement
from PIL import Image

from dense3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """torchvision's random resized crop of ``img``, bicubic.

    Args:
        size: height and width of the result, in pixels.
        area: least and greatest part of the image's area that is cut out.
        ratio: least and greatest ratio of width to height of what is cut out.
    """

    def __init__(
        self,
        size: tuple[int, int],
        area: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.crop = vision.RandomResizedCrop(
            tuple(size), tuple(area), tuple(ratio), vision.InterpolationMode.BICUBIC
        )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop and resize ``img`` (H, W, 3)."""
        results["img"] = np.array(self.crop(Image.fromarray(results["img"])))
        results["img_shape"] = results["img"].shape[:2]
        return results


@TRANSFORMS.register_module()
class ResizedCentre(BaseTransform):
    """The middle of an image whose shorter side, less a margin, fills the crop.

    Args:
        size: height and width of the result, in pixels.
        margin: how much larger the image is made than the crop; 256 / 224 is ImageNet's custom.
    """

    def __init__(self, size: tuple[int, int], margin: float = 256 / 224) -> None:
        self.size, self.margin = tuple(size), margin

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize ``img`` (H, W, 3) and cut out its middle."""
        shape = results["img"].shape[:2]
        factor = self.margin * max(n / side for n, side in zip(self.size, shape))
        height, width = (max(n, round(side * factor)) for n, side in zip(self.size, shape))
        image = Image.fromarray(results["img"]).resize((width, height), Image.BICUBIC)
        results["img"] = np.array(vision.functional.center_crop(image, self.size))
        results["img_shape"] = results["img"].shape[:2]
        return results


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """``inputs`` (3, H, W), uint8, and a data sample that knows the file."""

    META = ("img_id", "img_path", "ori_shape", "img_shape", "flip")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack an image."""
        metainfo = {key: results[key] for key in self.META if key in results}
        inputs = torch.from_numpy(np.ascontiguousarray(results["img"].transpose(2, 0, 1)))
        return {"inputs": inputs, "data_samples": BaseDataElement(metainfo=metainfo)}
