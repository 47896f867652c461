"""Images without labels, which self-supervised training reads: any folder of them, and its transforms.

Data sets with a class for each image (:mod:`dense3d.datasets.class_folder`) use the transforms too.

Pillow resizes, as in the official code; torch 2.15 gets the last pixel of a cropped uint8 tensor wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.transforms.v2 as vision
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.structures import BaseDataElement
from PIL import Image

from dense3d.datasets.strict import StrictSamples
from dense3d.errors import DataError
from dense3d.files import is_folder
from dense3d.image_files import IMAGE_SUFFIXES
from dense3d.registry import DATASETS, TRANSFORMS


def images_below(folder: Path) -> list[Path]:
    """Image files in a folder and the folders below it, sorted.

    Example:
        >>> images_below(Path("no/such/folder"))
        []
    """
    named = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(path for path in named if not path.is_dir())


@DATASETS.register_module()
class ImageFolder(StrictSamples, BaseDataset):
    """Every image below a folder, at any depth; folders named after classes (ImageNet) are only folders.

    Args:
        data_root: the folder.
        indices: the first so many images, or these.
        pipeline: transforms; they start from ``img_path``.
        *args, **kwargs: as for mmengine's ``BaseDataset`` and :class:`dense3d.datasets.strict.StrictSamples`.

    Raises:
        DataError: there is no such folder, or no image in it.
    """

    def load_data_list(self) -> list[dict]:
        """The files in the order of their paths."""
        folder = Path(self.data_root or "")
        if not is_folder(folder):
            raise DataError(f"{folder} is no folder: set data_root to the folder of your images")
        files = images_below(folder)
        if not files:
            raise DataError(f"{folder} holds no image ({', '.join(IMAGE_SUFFIXES)}), nor do folders below it")
        return [dict(img_path=str(path), img_id=number) for number, path in enumerate(files)]


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
    """``inputs`` (3, H, W), uint8, and a data sample that knows the file and, if there is one, its class."""

    META = ("img_id", "img_path", "ori_shape", "img_shape", "flip")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack an image."""
        metainfo = {key: results[key] for key in self.META if key in results}
        inputs = torch.from_numpy(np.ascontiguousarray(results["img"].transpose(2, 0, 1)))
        sample = BaseDataElement(metainfo=metainfo)
        if "gt_label" in results:
            sample.set_field(torch.tensor(results["gt_label"]), "gt_label")
        return {"inputs": inputs, "data_samples": sample}
