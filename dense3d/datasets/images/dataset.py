"""Any folder of images as a data set without labels."""

from __future__ import annotations

from pathlib import Path

from mmengine.dataset import BaseDataset

from dense3d.datasets.images.files import IMAGE_SUFFIXES, images_below
from dense3d.datasets.strict import StrictSamples
from dense3d.errors import DataError
from dense3d.registry import DATASETS


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
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder: set data_root to the folder of your images")
        files = images_below(folder)
        if not files:
            raise DataError(f"{folder} holds no image ({', '.join(IMAGE_SUFFIXES)}), nor do folders below it")
        return [dict(img_path=str(path), img_id=number) for number, path in enumerate(files)]
