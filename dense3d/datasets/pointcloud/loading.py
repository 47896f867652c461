"""Reading the points of a record: each data set's own files."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.datasets.pointcloud.box_transforms import keep_boxes
from dense3d.errors import ConfigError, DataError
from dense3d.registry import TRANSFORMS
from dense3d.structures.boxes3d import check_yaw
from dense3d.structures.cloud_files.notes import say

Arrays = dict[str, np.ndarray]
READERS: dict[str, Callable[[dict[str, Any]], Arrays]] = {}
IGNORED = -1  # label of points that have none
LARGE = 100.0  # metres; no room is longer


def reader(name: str) -> Callable[[Callable], Callable]:
    """Register what reads a kind of record; it gives arrays by the names of :class:`LoadPoints`."""

    def register(function: Callable[[dict[str, Any]], Arrays]) -> Callable[[dict[str, Any]], Arrays]:
        READERS[name] = function
        return function

    return register


@TRANSFORMS.register_module()
class LoadPoints(BaseTransform):
    """Read the cloud of a record, see :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.

    Adds ``points`` (N, 3) float32 metres (objects: the data set's own unit), and what there is of ``colors``
    (N, 3) float32 in 0..1, ``normals`` (N, 3) float32, ``point_labels`` (N,) int64 with -1 for none,
    ``instances`` (N,) int64 with -1 for none, ``gt_boxes`` (K, 7) float32 in the world frame of
    :class:`~dense3d.structures.Boxes3D` and ``gt_box_labels`` (K,) int64. Points with a coordinate, colour
    or intensity that is not finite are dropped, which is said once for each file, and normals that are not
    are 0. A record that has a path alone is read by :func:`dense3d.structures.read_cloud`.

    Args:
        max_points: a cloud with more is thinned out at random, which ``original_points`` of the sample tells.

    Raises:
        DataError: the file is missing or damaged, or holds no point, or yaws of boxes are no radians.
    """

    def __init__(self, max_points: int | None = None) -> None:
        if max_points is not None and max_points < 1:
            raise ConfigError(f"LoadPoints(max_points={max_points}): at least one point must stay")
        self.max_points = max_points

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read the arrays."""
        arrays = READERS[results.get("reader", "cloud")](results)
        of_points = {key: values for key, values in arrays.items() if not key.startswith("gt_box")}
        finite = np.ones(len(of_points["points"]), dtype=bool)
        for name in ("points", "colors", "intensity"):  # as PointCloud.finite has it
            if (values := of_points.get(name)) is not None:
                finite &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        if not finite.any():
            raise DataError(f"{results['path']} holds no point with finite coordinates")
        kept = finite if not finite.all() else slice(None)
        if not finite.all():
            _say_dropped(str(results["path"]), int((~finite).sum()), len(finite))
        results["original_points"] = len(finite)
        if self.max_points is not None and finite.sum() > self.max_points:
            kept = np.sort(np.random.permutation(np.flatnonzero(finite))[: self.max_points])
        results.update({key: values[kept] for key, values in of_points.items()})
        results.update({key: values for key, values in arrays.items() if key not in of_points})
        results["points"] = results["points"].astype(np.float32)
        if results.get("gt_boxes") is not None:
            check_yaw(results["gt_boxes"], results["path"])
            if np.ptp(results["points"], axis=0).max() > LARGE:
                _say_large(str(Path(results["path"]).parent))
        if results.get("stuff"):
            _leave_out_stuff(results, results["stuff"])
        if "normals" in results:
            results["normals"] = np.nan_to_num(results["normals"], nan=0.0, posinf=0.0, neginf=0.0)
        return results


@cache
def _say_dropped(path: str, dropped: int, count: int) -> None:
    say(f"{path}: {dropped} of {count} points are not finite and are left out")


def _leave_out_stuff(results: dict[str, Any], stuff: int) -> None:
    """Labels that count the things alone; points of floor and walls have none, and belong to no instance."""
    for name in ("point_labels", "gt_box_labels"):
        if name in results:
            results[name] = np.maximum(results[name] - stuff, IGNORED)
    if "instances" in results and "point_labels" in results:
        results["instances"] = np.where(results["point_labels"] < 0, IGNORED, results["instances"])
    if (results.get("gt_box_labels", np.zeros(0)) < 0).any():
        keep_boxes(results, results["gt_box_labels"] >= 0)


@cache
def _say_large(folder: str) -> None:
    say(
        f"{folder}: a scan with boxes is more than {LARGE:.0f} m long: if these are millimetres, multiply "
        "points and boxes by 0.001"
    )


@reader("cloud")
def _read_any_cloud(record: dict[str, Any]) -> Arrays:
    """Any file that holds a cloud; ``columns`` and so on of the record go to ``read_cloud``."""
    from dense3d.structures import read_cloud

    cloud = read_cloud(record["path"], **record.get("read_options", {}))
    arrays = {"points": cloud.points, **cloud.attributes}
    if "labels" in arrays:
        arrays["point_labels"] = arrays.pop("labels")
    return arrays


@reader("array")
def _read_array(record: dict[str, Any]) -> Arrays:
    """An npy file (N, 3 or more)."""
    from dense3d.structures.cloud_files.arrays import load_npy

    return {"points": columns_of(load_npy(Path(record["path"]), mapped=False), 3, record)[:, :3]}


def columns_of(table: np.ndarray, least: int, record: dict[str, Any]) -> np.ndarray:
    """A table (N, C) of numbers with at least so many columns and one row.

    Raises:
        DataError: it is none.
    """
    if table.ndim != 2 or table.shape[1] < least or not len(table) or table.dtype.kind not in "iuf":
        raise DataError(
            f"{record['path']} holds {table.dtype} of shape {table.shape}; points must be "
            f"numbers (N, {least} or more)"
        )
    return table
