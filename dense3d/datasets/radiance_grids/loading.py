"""From the files of a scene to tensors and a data sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from dense3d.errors import DataError
from dense3d.registry import TRANSFORMS
from dense3d.structures.boxes3d import check_yaw
from dense3d.structures.cloud_files.arrays import load_npy
from dense3d.structures.grid_sample import GridDataSample
from dense3d.structures.radiance_grid import RadianceGrid
from dense3d.structures.radiance_grid_files import MOST_BYTES, read_grid

FIELDS = {"gt_boxes": torch.float32, "gt_voxel_labels": torch.int64, "gt_grid": torch.float32}


@TRANSFORMS.register_module()
class LoadRadianceGrid(BaseTransform):
    """Read the files of a record, see :class:`~dense3d.datasets.radiance_grids.base.RadianceGridDataset`.

    Adds ``grid`` ``(4, W, L, H)`` float32 of colour and opacity, ``ori_shape``, ``bbox_min`` and
    ``bbox_max``, and what the record has of ``gt_boxes`` ``(N, 7)`` or ``(N, 6)`` float32 in voxels,
    ``gt_voxel_labels`` ``(W, L, H)`` int64 and ``gt_grid`` ``(4, W', L', H')`` float32; all are tensors.

    Args:
        allow_empty: whether a grid without an occupied voxel is taken.
        most_bytes: memory that reading a grid may need.

    Raises:
        DataError: a file is damaged or contradicts another, a box is outside the grid, or nothing is in it.
    """

    def __init__(self, allow_empty: bool = False, most_bytes: int = MOST_BYTES) -> None:
        self.allow_empty, self.most_bytes = allow_empty, most_bytes

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read the files."""
        kind = results.get("density_kind")
        grid = read_grid(results["path"], most_bytes=self.most_bytes, usual_kind=kind).as_alpha()
        if not self.allow_empty:
            grid.require_occupied()
        results["grid"] = grid.to_tensor()
        results["ori_shape"] = grid.resolution
        results["bbox_min"], results["bbox_max"] = grid.bbox_min.tolist(), grid.bbox_max.tolist()
        if "boxes_path" in results:
            results["gt_boxes"] = read_boxes(results["boxes_path"], grid)
        if "labels_path" in results:
            results["gt_voxel_labels"] = read_voxel_labels(results["labels_path"], grid)
        if "finer_path" in results:
            finer = read_grid(results["finer_path"], most_bytes=self.most_bytes, usual_kind=kind)
            results["gt_grid"] = finer.as_alpha().to_tensor()
        return results


def read_boxes(path: str, grid: RadianceGrid) -> torch.Tensor:
    """``(N, 7)`` or ``(N, 6)`` boxes of a grid, in voxels.

    Raises:
        DataError: the file holds something else, a size is not positive, a centre lies outside the grid, or a
            yaw is in degrees.
    """
    boxes = load_npy(Path(path), mapped=False)
    if boxes.ndim != 2 or boxes.shape[1] not in (6, 7) or boxes.dtype.kind not in "fiu":
        raise DataError(f"{path} holds no (N, 7) or (N, 6) boxes but {boxes.shape} of {boxes.dtype}")
    boxes = boxes.astype(np.float32)
    sizes = boxes[:, 3:6] if boxes.shape[1] == 7 else boxes[:, 3:] - boxes[:, :3]
    centres = boxes[:, :3] if boxes.shape[1] == 7 else (boxes[:, :3] + boxes[:, 3:]) / 2
    checks = {
        "has a number that is not finite": ~np.isfinite(boxes).all(axis=1),
        "has a side of no length": ~(sizes > 0).all(axis=1),
        f"has its centre outside the grid of {'x'.join(map(str, grid.resolution))} voxels": ~(
            (centres >= 0) & (centres <= np.array(grid.resolution))
        ).all(axis=1),
    }
    for what, bad in checks.items():
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{path}: box {row} {what} ({boxes[row].tolist()}); boxes are in voxels of the unpadded grid"
            )
    check_yaw(boxes if boxes.shape[1] == 7 else None, path)
    return torch.from_numpy(boxes)


def read_voxel_labels(path: str, grid: RadianceGrid) -> torch.Tensor:
    """``(W, L, H)`` int64 classes of a grid's voxels, 0 for none.

    Raises:
        DataError: the file holds something else, or is of another size.
    """
    labels = load_npy(Path(path), mapped=False)
    labels = labels[0] if labels.ndim == 4 and len(labels) == 1 else labels
    if labels.shape != grid.resolution or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path} holds {labels.shape} labels of {labels.dtype}, but its grid is of whole numbers for "
            f"{grid.resolution} voxels"
        )
    return torch.from_numpy(labels.astype(np.int64))


@TRANSFORMS.register_module()
class PackGridInputs(BaseTransform):
    """``inputs`` with ``grids`` ``(4, W, L, H)``, and a :class:`~dense3d.structures.GridDataSample`.

    Args:
        meta_keys: what the sample keeps beside.
    """

    META = ("sample_id", "path", "ori_shape", "bbox_min", "bbox_max")

    def __init__(self, meta_keys: tuple[str, ...] = META) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack a scene."""
        grid = torch.as_tensor(results["grid"], dtype=torch.float32).contiguous()
        sample = GridDataSample(metainfo={k: results[k] for k in self.meta_keys if k in results})
        for name, dtype in FIELDS.items():
            if results.get(name) is not None:
                sample.set_field(torch.as_tensor(results[name], dtype=dtype).contiguous(), name)
        return {"inputs": {"grids": grid}, "data_samples": sample}
