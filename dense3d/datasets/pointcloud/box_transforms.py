"""Steps for boxes of axis-aligned data sets. Arrays are those of ``LoadPoints``."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class AlignBoxes(BaseTransform):
    """Put the axis-aligned hull in the place of each box, which then has no yaw.

    For data sets whose boxes are never turned (ScanNet): after ``RandomRotatePoints`` boxes are enlarged, as
    VoteNet does.

    Example:
        >>> turned = np.array([[0, 0, 0, 2.0, 1, 1, np.pi / 2]])
        >>> AlignBoxes().transform({"gt_boxes": turned})["gt_boxes"].round(6).tolist()
        [[0.0, 0.0, 0.0, 1.0, 2.0, 1.0, 0.0]]
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Align the boxes."""
        if results.get("gt_boxes") is not None:
            results["gt_boxes"] = aligned_hulls(results["gt_boxes"])
        return results


def aligned_hulls(boxes: np.ndarray) -> np.ndarray:
    """Axis-aligned hulls (K, 7) float32, yaw 0, of upright boxes (K, 7) of the world frame."""
    cosine, sine = np.abs(np.cos(boxes[:, 6])), np.abs(np.sin(boxes[:, 6]))
    hulls = np.array(boxes, dtype=np.float32)
    hulls[:, 3] = boxes[:, 3] * cosine + boxes[:, 4] * sine
    hulls[:, 4] = boxes[:, 3] * sine + boxes[:, 4] * cosine
    hulls[:, 6] = 0
    return hulls
