"""Flat little-endian float32: lidar scans (``.bin`` of KITTI, nuScenes) and clouds of mmdetection3d."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.structures.cloud_files.arrays import sampled_table
from dense3d.structures.cloud_files.notes import say

# What the numbers of a point may be; a file does not say, its values mostly do. Coordinates alone are not
# among them, since any numbers may be coordinates.
KINDS = {
    "KITTI": ("x", "y", "z", "intensity"),
    "nuScenes": ("x", "y", "z", "intensity", "-"),
    "coloured": ("x", "y", "z", "r", "g", "b"),
}
FARTHEST = 1000.0  # metres
RINGS = 256
JUDGED = 20_000


def read_flat(path: Path, columns: Sequence[str] | None, most: int | None, seed: int) -> tuple[dict, int]:
    """Attributes of the points of a flat file, which is mapped from the disk.

    Raises:
        DataError: its size is no multiple of a point's, or its values do not tell what the columns are.
    """
    size = path.stat().st_size
    if not size:
        raise DataError(f"{path} is empty; make or copy it again")
    columns = columns or told_columns(path)
    if size % (4 * len(columns)):
        raise DataError(
            f"{path} has {size} bytes, which is no multiple of {4 * len(columns)} ({len(columns)} float32 a "
            "point); it was cut off, or its points have another number of columns"
        )
    table = np.memmap(path, dtype="<f4", mode="r").reshape(-1, len(columns))
    return sampled_table(table, columns, path, most, seed)


def told_columns(path: Path) -> tuple[str, ...]:
    """The columns of a flat file, told by its size and values; which is said.

    Raises:
        DataError: several kinds fit, or none.
    """
    size = path.stat().st_size
    fitting = {}
    for kind, columns in KINDS.items():
        if size % (4 * len(columns)) == 0:
            count = min(JUDGED, size // (4 * len(columns)))
            head = np.fromfile(path, dtype="<f4", count=count * len(columns)).reshape(-1, len(columns))
            if _fits(kind, head):
                fitting[kind] = columns
    if len(fitting) == 1:
        kind, columns = fitting.popitem()
        say(f"{path}: its points are taken as {' '.join(columns)} ({kind}); say columns='...' otherwise")
        return columns
    what = " and ".join(fitting) if fitting else "no kind"
    raise DataError(
        f"{path}: {size} bytes of float32 fit {what} of points that we know; name the columns, as in "
        "columns='x y z intensity', with - for one that is skipped"
    )


def _fits(kind: str, rows: np.ndarray) -> bool:
    """Whether the values may be those of this kind of points."""
    with np.errstate(invalid="ignore"):
        rows = rows[np.isfinite(rows).all(axis=1)]
        if not len(rows) or np.abs(rows[:, :3]).max() > FARTHEST:
            return False
        # A column of the wrong kind holds coordinates, some of which are negative or of another size.
        rest = rows[:, 3:]
        if rest.size and (rest.min() < 0 or rest.max() > 255):
            return False
        if kind == "nuScenes":
            return bool((rest[:, 1] == np.rint(rest[:, 1])).all() and rest[:, 1].max() < RINGS)
        return bool(rest.max() <= 1 or (rest == np.rint(rest)).all())
