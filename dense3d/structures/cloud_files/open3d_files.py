"""PLY and PCD files through Open3D's tensor interface, which keeps every attribute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.errors import DataError
from dense3d.optional import require
from dense3d.structures.cloud_files.columns import column_name
from dense3d.structures.cloud_files.rows import parts_of, sample_rows
from dense3d.structures.point_cloud import PointCloud

PURPOSE = "point clouds"
DIRECT = {"positions": "points", "colors": "colors", "normals": "normals"}


@contextlib.contextmanager
def quiet_open3d() -> Iterator[Any]:
    """Open3D without its own messages: what is wrong is said by whoever calls it."""
    open3d = require("open3d", PURPOSE)
    with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
        yield open3d


def read_with_open3d(path: Path, most: int | None, seed: int) -> tuple[dict[str, np.ndarray], int]:
    """Attributes of a PLY or PCD file, and how many points it has; the whole file is read at once.

    Raises:
        DataError: Open3D reads no point from it.
    """
    with quiet_open3d() as open3d:
        try:
            cloud = open3d.t.io.read_point_cloud(
                str(path), remove_nan_points=False, remove_infinite_points=False
            )
        except (RuntimeError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read ({str(error).splitlines()[-1][:120]})") from None
    if cloud.is_empty():
        raise DataError(f"{path} holds no point that can be read; make or copy it again")
    found: dict[str, np.ndarray] = {}
    for name, values in cloud.point.items():
        attribute = DIRECT.get(name) or {"label": "labels", "intensity": "intensity"}.get(column_name(name))
        if attribute:
            values = values.numpy()
            found[attribute] = values[:, 0] if attribute in ("labels", "intensity") else values
    count = len(found["points"])
    if most is None or count <= most:
        return found, count
    parts = (dict(zip(found, part)) for part in zip(*(parts_of(values) for values in found.values())))
    return sample_rows(parts, most, seed)


def write_with_open3d(cloud: PointCloud, path: Path) -> None:
    """Write a PLY or PCD file, colours as bytes, labels as ``label`` and intensity as ``intensity``.

    Args:
        cloud: with or without attributes. Coordinates are float64 where the cloud has an origin.
        path: to be written to directly.

    Raises:
        DataError: Open3D refuses, or a label does not fit 32 bits.
    """
    with quiet_open3d() as open3d:
        points = cloud.points
        if any(cloud.origin):
            points = points.astype(np.float64) + cloud.origin
        made = open3d.t.geometry.PointCloud(np.ascontiguousarray(points))
        if cloud.colors is not None:
            made.point.colors = np.rint(np.clip(cloud.colors, 0, 1) * 255).astype(np.uint8)
        if cloud.normals is not None:
            made.point.normals = cloud.normals
        if cloud.labels is not None:
            if len(cloud) and np.abs(cloud.labels).max() >= 1 << 31:
                raise DataError(f"{path}: labels beyond 32 bits cannot be written")
            made.point.label = cloud.labels[:, None].astype(np.int32)
        if cloud.intensity is not None:
            made.point.intensity = cloud.intensity[:, None]
        if not open3d.t.io.write_point_cloud(str(path), made):
            raise DataError(f"{path}: Open3D could not write the cloud")
