"""Random boxes cut out of scenes."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.datasets.pointcloud.box_transforms import keep_boxes
from dense3d.datasets.pointcloud.transforms import take
from dense3d.errors import ConfigError
from dense3d.registry import TRANSFORMS

TRIES = 100


@TRANSFORMS.register_module()
class RandomCuboid(BaseTransform):
    """Keep the points in a random box around one of them, and the true boxes whose centre is among these.

    Zhang et al., "Self-Supervised Pretraining of 3D Features on any Point-Cloud", ICCV 2021, as 3DETR trains
    with it. A box with too few points, or without a true box where there was one, is drawn anew; after 100
    tries the scene stays whole. ``instances`` follow the boxes, see
    :func:`~dense3d.datasets.pointcloud.box_transforms.keep_boxes`.

    Args:
        min_points: that must stay.
        min_crop, max_crop: sides of the box over those of the scene.
        aspect: of two of these shares at least, the smaller over the larger.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self, min_points: int = 30_000, min_crop: float = 0.5, max_crop: float = 1.0, aspect: float = 0.8
    ) -> None:
        if not 0 < min_crop <= max_crop or not 0 <= aspect <= 1 or min_points < 1:
            raise ConfigError(
                f"RandomCuboid(min_points={min_points}, min_crop={min_crop}, max_crop={max_crop}, "
                f"aspect={aspect}) makes no sense: 0 < min_crop <= max_crop and 0 <= aspect <= 1 must hold"
            )
        self.min_points, self.min_crop, self.max_crop, self.aspect = min_points, min_crop, max_crop, aspect

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop the scene."""
        points, boxes = results["points"], results.get("gt_boxes")
        sides = np.ptp(points, axis=0)
        for _ in range(TRIES):
            shares = np.random.uniform(self.min_crop, self.max_crop, 3)
            if not self._even(shares):
                continue
            middle = points[np.random.randint(len(points))]
            inside = (np.abs(points - middle) <= sides * shares / 2).all(axis=1)
            if inside.sum() < self.min_points:
                continue
            if boxes is not None and len(boxes):
                low, high = points[inside].min(axis=0), points[inside].max(axis=0)
                kept = ((boxes[:, :3] >= low) & (boxes[:, :3] <= high)).all(axis=1)
                if not kept.any():
                    continue
                keep_boxes(results, kept)
            return take(results, np.flatnonzero(inside))
        return results

    def _even(self, shares: np.ndarray) -> bool:
        low, middle, high = np.sort(shares)
        return max(low / middle, middle / high) >= self.aspect
