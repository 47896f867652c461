"""S3DIS: rooms of six areas, as released (text) or in Pointcept's folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.base import LAYOUT, PointCloudDataset, choice
from dense3d.datasets.pointcloud.loading import Arrays, reader
from dense3d.datasets.pointcloud.pointcept import POINTCEPT
from dense3d.errors import ConfigError, DataError
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS
from dense3d.structures.cloud_files.notes import say

CLASSES = (
    "ceiling", "floor", "wall", "beam", "column", "window", "door", "table", "chair", "sofa", "bookcase",
    "board", "clutter",
)  # fmt: skip
AREAS = (1, 2, 3, 4, 5, 6)


@DATASETS.register_module()
class S3DIS(PointCloudDataset):
    """Rooms with 13 classes, z up.

    Layouts: ``Area_1/<room>/Annotations/<class>_<number>.txt`` of ``x y z r g b``, or
    ``Area_1/<room>/{coord,color,normal,segment,instance}.npy``. What is of no class, such as ``stairs``, is
    clutter. The release has a line with a broken number (Area_5/hallway_6); its point is left out, and said.

    Args:
        data_root: folder with the areas.
        areas: those that are taken; the usual test area is 5.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.
    """

    METAINFO = {"classes": CLASSES}  # noqa: RUF012 - mmengine's own form

    def __init__(self, data_root: str = "", areas: Sequence[int] = (1, 2, 3, 4, 6), **kwargs: Any) -> None:
        if not areas:
            raise ConfigError("areas must name at least one of 1 to 6")
        self.areas = [choice("areas", area, AREAS) for area in areas]
        super().__init__(data_root=data_root, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The rooms in the order of areas and names."""
        for area in self.areas:
            folder = self.root / f"Area_{area}"
            if not is_folder(folder):
                raise DataError(f"{folder} does not exist; the layout is described in {LAYOUT}")
            for room in sorted(path for path in folder.iterdir() if path.is_dir()):
                name = f"Area_{area}/{room.name}"
                if is_file(room / "coord.npy"):
                    needs = (str(room / "coord.npy"), str(room / "segment.npy"))
                    record = dict(reader=POINTCEPT, path=str(room), needs=needs, segment="segment")
                else:
                    record = dict(reader="s3dis_room", path=str(room / "Annotations"))
                yield dict(sample_id=name, **record)


@reader("s3dis_room")
def _read_room(record: dict[str, Any]) -> Arrays:
    files = sorted(Path(record["path"]).glob("*.txt"))
    if not files:
        raise DataError(f"{record['path']} has no file such as chair_1.txt; the layout is in {LAYOUT}")
    tables = [_read_object(file) for file in files]
    lengths = [len(table) for table in tables]
    kinds = [file.stem.rpartition("_")[0] for file in files]
    labels = [CLASSES.index(kind) if kind in CLASSES else CLASSES.index("clutter") for kind in kinds]
    table = np.concatenate(tables)
    return {
        "points": table[:, :3].astype(np.float32),
        "colors": np.clip(table[:, 3:6] / 255, 0, 1).astype(np.float32),
        "point_labels": np.repeat(labels, lengths).astype(np.int64),
        "instances": np.repeat(np.arange(len(files)), lengths).astype(np.int64),
    }


def _read_object(file: Path) -> np.ndarray:
    """The rows of one thing; lines that are no six numbers are left out, if they are few."""
    try:
        table = np.loadtxt(file, ndmin=2)
        if table.shape[1] == 6:
            return table
    except (OSError, ValueError):
        pass
    rows, broken = [], []
    try:
        for number, line in enumerate(file.read_text(encoding="latin1").split("\n"), start=1):
            try:
                row = [float(word) for word in line.split()]
            except ValueError:
                row = []
            if len(row) == 6:
                rows.append(row)
            elif line.strip():
                broken.append(number)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error})") from None
    if not rows or len(broken) > max(1, len(rows) // 1000):
        raise DataError(f"{file} has no rows of x y z r g b; make or copy it again")
    if broken:
        say(f"{file}: line {broken[0]} is no row of x y z r g b; {len(broken)} points are left out")
    return np.array(rows)
