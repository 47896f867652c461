"""The synthetic shapes and rooms that ``dense3d make-synthetic shapes|rooms`` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.base import PointCloudDataset, choice
from dense3d.datasets.pointcloud.loading import Arrays, reader
from dense3d.datasets.pointcloud.pointcept import POINTCEPT
from dense3d.datasets.synthetic.clouds import SPLITS, read_document
from dense3d.datasets.synthetic.generate import ensure_dataset
from dense3d.errors import DataError
from dense3d.registry import DATASETS
from dense3d.structures.cloud_files.arrays import load_npy

BACKGROUND = 255  # part label in the files


@DATASETS.register_module()
class SyntheticShapes(PointCloudDataset):
    """Objects of 21 families with parts, z up, in metres.

    ``gt_label`` and ``category`` are the family; ``point_labels`` the parts, numbered through all families
    (``metainfo["parts"]``: family to its labels), -1 for the background of scans.

    Args:
        data_root: folder; made first with ``recipe`` if it is missing.
        split: ``"train"`` or ``"val"``.
        only: families that are taken; labels keep their numbers.
        recipe: of :func:`~dense3d.datasets.synthetic.clouds.make_clouds`, as ``dict(points=2048)``; None
            takes a folder that is there.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.

    Raises:
        DataError: the folder is missing or holds something else.
    """

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        only: Sequence[str] | None = None,
        recipe: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.split = choice("split", split, SPLITS)
        if recipe is not None:
            ensure_dataset(data_root, layouts=("shapes",), **recipe)
        metainfo = {**_families(Path(data_root)), **kwargs.pop("metainfo", {})}
        super().__init__(data_root=data_root, only=only, metainfo=metainfo, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The objects in their order."""
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
class SyntheticRooms(PointCloudDataset):
    """Furnished rooms with semantic labels, instances and oriented boxes, z up, in metres.

    Args:
        data_root: folder; made first with ``recipe`` if it is missing.
        split: ``"train"`` or ``"val"``.
        recipe: of :func:`~dense3d.datasets.synthetic.clouds.make_clouds`, as ``dict(train=40)``; None takes a
            folder that is there.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.

    Raises:
        DataError: the folder is missing or holds something else.
    """

    def __init__(
        self, data_root: str = "", split: str = "train", recipe: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self.split = choice("split", split, SPLITS)
        if recipe is not None:
            ensure_dataset(data_root, layouts=("rooms",), **recipe)
        classes = _document(Path(data_root), "classes.json")["classes"]
        metainfo = {"classes": tuple(classes), **kwargs.pop("metainfo", {})}
        super().__init__(data_root=data_root, metainfo=metainfo, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The rooms in their order."""
        for folder in sorted((self.root / self.split).glob("room_*")):
            yield dict(sample_id=f"{self.split}_{folder.name}", reader=POINTCEPT, path=str(folder))


@reader("synthetic_shape")
def _read_shape(record: dict[str, Any]) -> Arrays:
    found = {name: np.array(load_npy(Path(path))[record["row"]]) for name, path in record["files"].items()}
    parts = found.pop("parts").astype(np.int64)
    return {**found, "point_labels": np.where(parts == BACKGROUND, -1, parts)}


def _families(root: Path) -> dict[str, Any]:
    document = _document(root, "families.json")
    parts, first = {}, 0
    for family, names in document.items():
        parts[family] = tuple(range(first, first + len(names)))
        first += len(names)
    names = tuple(f"{family} {name}" for family, own in document.items() for name in own)
    return {"classes": tuple(document), "parts": parts, "part_names": names}


def _document(root: Path, name: str) -> dict[str, Any]:
    if not root.is_dir():
        layout = "shapes" if name == "families.json" else "rooms"
        raise DataError(f"{root} does not exist; make it with dense3d make-synthetic {layout} {root}")
    return read_document(root / name)
