"""Intersection over union of the classes of voxels, as NeRF-MAE is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.pointcloud.scene_iou import point_confusion
from dense3d.registry import METRICS


def voxel_counts(confusions: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Voxels of each class but void, over all grids.

    Args:
        confusions: ``(K, K)`` each, rows by the true class; none of a void voxel.

    Returns:
        ``intersection``, ``union`` and ``target``, ``(K - 1,)`` each.
    """
    confusion = np.sum(confusions, axis=0)
    right, seen, said = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return {"intersection": right[1:], "union": (seen + said - right)[1:], "target": seen[1:]}


def voxel_scores(counts: dict[str, np.ndarray], names: Sequence[str]) -> dict[str, float]:
    """Figures in percent of what :func:`voxel_counts` gives.

    A class that the data do not have counts as 0 in the means, as officially: ``mIoU`` over classes,
    ``mAcc`` likewise, ``aAcc`` of all voxels that have a class, ``iou/NAME`` of each class.

    Args:
        counts: of each class but void.
        names: of all classes, void first.

    Raises:
        DataError: no voxel has a class.
    """
    right, union, seen = (counts[name] for name in ("intersection", "union", "target"))
    if not seen.any():
        raise DataError("there is no voxel with a class to evaluate")
    iou, accuracy = right / np.maximum(union, 1), right / np.maximum(seen, 1)
    figures = {
        "mIoU": iou.mean(),
        "mAcc": accuracy.mean(),
        "aAcc": right.sum() / seen.sum(),
        **{f"iou/{name}": value for name, value in zip(names[1:], iou)},
    }
    return {name: 100.0 * float(value) for name, value in figures.items()}


@METRICS.register_module()
class VoxelIoU(BaseMetric):
    """IoU of the classes of voxels of all grids together, in percent: see :func:`voxel_scores`.

    Args:
        classes: names, void first; the data set's unless given.
        by_class: report ``iou/NAME`` of each class, too.
        collect_device, prefix: see mmengine's ``BaseMetric``.

    Raises:
        ConfigError: nobody names the classes.
        DataError: a grid has no labels, or one that is no class.
    """

    default_prefix = "voxel"

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        by_class: bool = True,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.classes, self.by_class = classes, by_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the voxels of a batch."""
        for sample in data_samples:
            if "gt_voxel_labels" not in sample:
                raise DataError(f"{sample.get('sample_id', 'a grid')} has no voxel labels to compare with")
            predicted, truth = (
                sample[f"{kind}_voxel_labels"].cpu().numpy().reshape(-1).astype(np.int64)
                for kind in ("pred", "gt")
            )
            # void is no class to find
            truth = np.where(truth == 0, -1, truth)
            self.results.append(point_confusion(predicted, truth, len(self._names())))

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Figures of all grids."""
        if not results:
            raise DataError("there is no grid to evaluate: the data set is empty")
        figures = voxel_scores(voxel_counts(results), self._names())
        return {k: v for k, v in figures.items() if self.by_class or not k.startswith("iou/")}

    def _names(self) -> Sequence[str]:
        names = self.classes or (self.dataset_meta or {}).get("classes")
        if not names:
            raise ConfigError("VoxelIoU needs a data set that names its classes, or classes=(...)")
        return names
