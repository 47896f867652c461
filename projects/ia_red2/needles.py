"""A made-up task of which the right answer is known: the class is the colour of one spot in grey noise."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from dense3d.registry import DATASETS


@DATASETS.register_module()
class Needles(Dataset):
    """Noise around a grey with a square spot of the class's hue somewhere; nothing is read or written.

    Args:
        count: number of images.
        num_classes: hues, equally far apart.
        size: side of an image in pixels.
        spot: side of the spot in pixels.
        first: number of the first image; image n is the same in every data set.
        pipeline: steps on ``img`` (H, W, 3), uint8, blue first, ``gt_label`` and ``spot``, its first row and
            column.
    """

    def __init__(
        self,
        count: int,
        num_classes: int = 10,
        size: int = 48,
        spot: int = 12,
        first: int = 0,
        pipeline: Sequence[dict] = (),
    ) -> None:
        self.count, self.num_classes, self.size, self.spot, self.first = count, num_classes, size, spot, first
        self.metainfo = dict(classes=tuple(f"hue {360 * i // num_classes}" for i in range(num_classes)))
        self.pipeline = Compose(list(pipeline))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        """The image of a number, through the pipeline."""
        return self.pipeline(self.draw(self.first + index))

    def draw(self, number: int) -> dict[str, Any]:
        """Image, class and place of the spot."""
        random, size, spot = np.random.default_rng(number), self.size, self.spot
        y, x = map(int, random.integers(0, size - spot + 1, 2))
        label = int(random.integers(self.num_classes))
        image = np.full((size, size, 3), random.uniform(60, 200))
        colour = colorsys.hsv_to_rgb(label / self.num_classes, *random.uniform(0.6, 1.0, 2))
        image[y : y + spot, x : x + spot] = 255 * np.array(colour[::-1])
        image = (image + random.normal(0, 20, image.shape)).clip(0, 255).astype(np.uint8)
        return dict(img=image, gt_label=label, spot=(y, x), img_shape=(size, size), ori_shape=(size, size))
