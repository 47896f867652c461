"""An image at several resolutions, each with augmentations of its own, from the pipeline to the model.

The official code's ``--sep-aug``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from dense3d.classification import ClassDataPreprocessor
from dense3d.datasets.image_folder import PackImage, RandomResizedCrop
from dense3d.errors import DataError
from dense3d.registry import MODELS, TRANSFORMS


@TRANSFORMS.register_module()
class ResolutionViews(BaseTransform):
    """Random resized crops of an image, one for each resolution, augmented apart and packed.

    The last step of a pipeline.

    Args:
        resolutions: sides in pixels, those of the model in its order.
        transforms: what follows each crop, such as flips.
        area: least and greatest part of the image's area that a crop has.
    """

    def __init__(
        self,
        resolutions: Sequence[int],
        transforms: Sequence[dict] = (),
        area: tuple[float, float] = (0.08, 1.0),
    ) -> None:
        self.pipelines = [
            Compose([RandomResizedCrop((side, side), area), *copy.deepcopy(list(transforms)), PackImage()])
            for side in resolutions
        ]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """``inputs``, a list of (3, R, R), uint8, and the data sample of the first."""
        packed = [pipeline(copy.deepcopy(results)) for pipeline in self.pipelines]
        return {
            "inputs": [view["inputs"] for view in packed],
            "data_samples": packed[0]["data_samples"],
        }


@MODELS.register_module()
class ViewsPreprocessor(ClassDataPreprocessor):
    """:class:`ClassDataPreprocessor` of the views of :class:`ResolutionViews`.

    Each resolution is normalised, erased and mixed by itself, and so are its labels. What is no list of views
    passes as ever.

    Args:
        *args, **kwargs: as for :class:`ClassDataPreprocessor`.

    Raises:
        DataError: views came without data samples, or as for :class:`ClassDataPreprocessor`.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Batches ``(B, 3, R, R)`` and lists of data samples, one for each resolution."""
        if not isinstance(data["inputs"][0], (list, tuple)):
            return super().forward(data, training)
        samples = data.get("data_samples")
        if not samples:
            raise DataError("views of images came without data samples: use a data set of classes")
        found = [
            super(ViewsPreprocessor, self).forward(
                {"inputs": list(view), "data_samples": [sample.clone() for sample in samples]}, training
            )
            for view in data["inputs"]
        ]
        return {key: [one[key] for one in found] for key in ("inputs", "data_samples")}
