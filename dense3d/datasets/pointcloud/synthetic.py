"""The synthetic shapes and rooms that ``dense3d make-synthetic shapes|rooms`` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.base import PointCloudDataset, choice
from dense3d.datasets.pointcloud.loading import Arrays, reader
from dense3d.datasets.pointcloud.pointcept import POINTCEPT
from dense3d.datasets.pointcloud.rooms import RoomDataset
from dense3d.datasets.posed_rgb.frames import PosedFrame
from dense3d.datasets.posed_rgb.layouts import read_scene
from dense3d.datasets.synthetic.clouds import SPLITS, read_document
from dense3d.datasets.synthetic.objects.families import FAMILIES, FIRST_PART, PART_NAMES
from dense3d.datasets.synthetic.rooms.classes import CLASSES
from dense3d.errors import DataError
from dense3d.files import is_file
from dense3d.registry import DATASETS
from dense3d.structures.cloud_files.arrays import load_npy

BACKGROUND = 255  # part label in the files


@DATASETS.register_module()
class SyntheticShapes(PointCloudDataset):
    """Objects of 21 families with parts, z up, in metres.

    ``gt_label`` and ``category`` are the family; ``point_labels`` the parts, numbered through all families
    (``metainfo["parts"]``: family to its labels), -1 for the background of scans.

    Args:
        data_root: folder, which ``synthetic_data`` of a config or ``dense3d make-synthetic`` makes.
        split: ``"train"`` or ``"val"``.
        only: families that are taken; labels keep their numbers.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.

    Raises:
        DataError: the folder is missing or holds something else.
    """

    REMEDY = "make it with dense3d make-synthetic shapes {}"
    METAINFO = {  # noqa: RUF012 - mmengine's own form
        "classes": FAMILIES,
        "parts": {
            family: tuple(range(first, first + len(PART_NAMES[family])))
            for family, first in FIRST_PART.items()
        },
        "part_names": tuple(f"{family} {name}" for family in FAMILIES for name in PART_NAMES[family]),
    }

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        only: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.split = choice("split", split, SPLITS)
        super().__init__(data_root=data_root, only=only, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The objects in their order."""
        _check(self.root, "families.json", {family: list(names) for family, names in PART_NAMES.items()})
        folder = self.root / self.split
        labels = load_npy(folder / "labels.npy", mapped=False)
        classes = self.metainfo["classes"]
        files = {name: str(folder / f"{name}.npy") for name in ("points", "normals", "parts")}
        for row, label in enumerate(labels.tolist()):
            yield dict(
                sample_id=f"{self.split}_{row:05d}_{classes[label]}",
                reader="synthetic_shape",
                path=files["points"],
                needs=tuple(files.values()),
                files=files,
                row=row,
                gt_label=label,
                category=label,
            )


@DATASETS.register_module()
class SyntheticRooms(RoomDataset):
    """Furnished rooms with semantic labels, instances and oriented boxes, z up, in metres.

    Args:
        data_root: folder, which ``synthetic_data`` of a config or ``dense3d make-synthetic`` makes.
        split: ``"train"`` or ``"val"``.
        num_views: photographs of each room, which a pipeline with ``LoadSceneViews`` reads; None for clouds
            alone.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.rooms.RoomDataset`: ``task="detection"`` counts the
            12 classes of things from 0.

    Raises:
        DataError: the folder is missing or holds something else.
    """

    REMEDY = "make it with dense3d make-synthetic rooms {}"
    VIEWS_REMEDY = "make them with dense3d make-synthetic rooms {} --views 4 --overwrite"
    METAINFO = {"classes": CLASSES}  # noqa: RUF012 - mmengine's own form

    def __init__(
        self, data_root: str = "", split: str = "train", num_views: int | None = None, **kwargs: Any
    ) -> None:
        self.split = choice("split", split, SPLITS)
        self.num_views = num_views
        super().__init__(data_root=data_root, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The rooms in their order."""
        _check(self.root, "classes.json", {"classes": list(CLASSES)})
        for folder in sorted((self.root / self.split).glob("room_*")):
            record = dict(sample_id=f"{self.split}_{folder.name}", reader=POINTCEPT, path=str(folder))
            yield record if self.num_views is None else {**record, "frames": self._frames(folder)}

    def _frames(self, folder: Path) -> tuple[PosedFrame, ...]:
        scene = folder / "views" / "transforms.json"
        if not is_file(scene):
            raise DataError(f"{folder} has no photographs; {self.VIEWS_REMEDY.format(self.root)}")
        frames = read_scene(scene).frames
        if len(frames) < self.num_views:
            raise DataError(
                f"{folder} has {len(frames)} photographs, and num_views={self.num_views} are wanted: set a "
                "smaller num_views, or make rooms with more --views"
            )
        return frames[: self.num_views]


@reader("synthetic_shape")
def _read_shape(record: dict[str, Any]) -> Arrays:
    found = {name: np.array(load_npy(Path(path))[record["row"]]) for name, path in record["files"].items()}
    parts = found.pop("parts").astype(np.int64)
    return {**found, "point_labels": np.where(parts == BACKGROUND, -1, parts)}


def _check(root: Path, name: str, expected: dict[str, Any]) -> None:
    """The document that says what the labels mean must say what this version takes them for."""
    if read_document(root / name) != expected:
        raise DataError(f"{root} was made by another version of dense3d; make it again with --overwrite")
