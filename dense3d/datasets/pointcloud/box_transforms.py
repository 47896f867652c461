"""Steps for the boxes of a cloud. Arrays are those of ``LoadPoints``."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.errors import ConfigError, DataError
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


@TRANSFORMS.register_module()
class DropUnseenBoxes(BaseTransform):
    """Leave out boxes that hold few points, such as of things that a scanner did not see.

    ``instances`` of their points become -1, and those of others follow the rows of the boxes that stay.

    Args:
        min_points: a box that stays holds so many.

    Example:
        >>> boxes = np.array([[0, 0, 0, 1.0, 1, 1, 0], [5, 0, 0, 1, 1, 1, 0]])
        >>> results = {"points": np.zeros((3, 3)), "gt_boxes": boxes, "gt_box_labels": np.array([4, 6])}
        >>> DropUnseenBoxes(3).transform(results)["gt_box_labels"].tolist()
        [4]
    """

    def __init__(self, min_points: int = 5) -> None:
        if min_points < 1:
            raise ConfigError(f"DropUnseenBoxes(min_points={min_points}): at least one point is meant")
        self.min_points = min_points

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Leave out boxes."""
        boxes = results.get("gt_boxes")
        if boxes is None or not len(boxes):
            return results
        seen = points_in_each(results["points"], boxes) >= self.min_points
        return keep_boxes(results, seen)


def keep_boxes(results: dict[str, Any], kept: np.ndarray) -> dict[str, Any]:
    """Leave out boxes; instances of their points become -1, others follow the rows of the boxes that stay.

    Args:
        results: with ``gt_boxes`` (K, 7), ``gt_box_labels`` (K,), perhaps ``instances`` (N,), rows of them.
        kept: (K,) bool.

    Raises:
        DataError: instances are not rows of the boxes.

    Example:
        >>> results = {"gt_boxes": np.ones((2, 7)), "gt_box_labels": np.array([4, 6])}
        >>> results["instances"] = np.array([0, 1, -1])
        >>> keep_boxes(results, np.array([False, True]))["instances"].tolist()
        [-1, 0, -1]
    """
    results["gt_boxes"], results["gt_box_labels"] = results["gt_boxes"][kept], results["gt_box_labels"][kept]
    instances = results.get("instances")
    if instances is not None:
        if instances.max(initial=-1) >= len(kept) or instances.min(initial=-1) < -1:
            raise DataError(
                f"{results.get('path', 'a cloud')} has points of instance {instances.max()} and {len(kept)} "
                "boxes: number the instances as the rows of the boxes, -1 for none, or leave them out"
            )
        row = np.append(np.where(kept, kept.cumsum() - 1, -1), -1)  # the last one of points in no box
        results["instances"] = row[instances]
    return results


def points_in_each(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(K,) how many of the points (N, 3) lie in each of the boxes (K, 7) of the world frame."""
    import torch

    from dense3d.ops import points_in_boxes_all

    standing = torch.as_tensor(boxes, dtype=torch.float64)[None].clone()
    standing[..., 2] -= standing[..., 5] / 2  # the operator counts from the bottom
    return points_in_boxes_all(torch.as_tensor(points, dtype=torch.float64)[None], standing)[0].sum(0).numpy()


def aligned_hulls(boxes: np.ndarray) -> np.ndarray:
    """Axis-aligned hulls (K, 7) float32, yaw 0, of upright boxes (K, 7) of the world frame."""
    cosine, sine = np.abs(np.cos(boxes[:, 6])), np.abs(np.sin(boxes[:, 6]))
    hulls = np.array(boxes, dtype=np.float32)
    hulls[:, 3] = boxes[:, 3] * cosine + boxes[:, 4] * sine
    hulls[:, 4] = boxes[:, 3] * sine + boxes[:, 4] * cosine
    hulls[:, 6] = 0
    return hulls
