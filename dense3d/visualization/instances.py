"""Drawing detected objects on an image, in the manner of mmdet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np


def draw_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    masks: np.ndarray | None = None,
    meta: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Boxes with names and scores, and masks.

    Args:
        image: ``(H, W, 3)`` RGB uint8.
        boxes: ``(N, 4)`` x1, y1, x2, y2 in pixels.
        scores: ``(N,)``.
        labels: ``(N,)``.
        masks: ``(N, H, W)`` bool, or None.
        meta: ``classes`` and ``palette`` of the data set.

    Returns:
        ``(H, W, 3)`` RGB picture.
    """
    import torch
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    arrays = dict(bboxes=boxes, scores=scores, labels=labels)
    instances = InstanceData(**{name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
    if masks is not None:
        instances.masks = masks
    visualizer = _visualizer()
    visualizer.dataset_meta = {name: value for name, value in (meta or {}).items() if value}
    sample = DetDataSample(pred_instances=instances)
    visualizer.add_datasample("image", image, sample, draw_gt=False, pred_score_thr=float("-inf"))
    return visualizer.picture


@lru_cache(maxsize=1)
def _visualizer() -> Any:
    """One for all pictures: it holds a canvas of matplotlib."""
    from mmdet.visualization import DetLocalVisualizer

    class Canvas(DetLocalVisualizer):
        """Keeps what mmdet's would hand to its logs."""

        def add_image(self, name: str, image: np.ndarray, step: int = 0) -> None:
            self.picture = image

    return Canvas()
