"""ShapeNetPart: objects of 16 categories with 50 parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.base import PointCloudDataset, choice
from dense3d.datasets.pointcloud.loading import Arrays, columns_of, reader
from dense3d.errors import DataError
from dense3d.registry import DATASETS

# category -> number of its parts, which are counted through all categories
PARTS = {
    "Airplane": 4, "Bag": 2, "Cap": 2, "Car": 4, "Chair": 4, "Earphone": 3, "Guitar": 3, "Knife": 2,
    "Lamp": 4, "Laptop": 2, "Motorbike": 6, "Mug": 2, "Pistol": 3, "Rocket": 3, "Skateboard": 3, "Table": 3,
}  # fmt: skip
SYNSETS = (
    "02691156", "02773838", "02954340", "02958343", "03001627", "03261776", "03467517", "03624134",
    "03636649", "03642806", "03790512", "03797390", "03948459", "04099429", "04225987", "04379243",
)  # fmt: skip
_STARTS = np.cumsum([0, *PARTS.values()]).tolist()
LABELS = {name: tuple(range(start, start + PARTS[name])) for name, start in zip(PARTS, _STARTS)}


@DATASETS.register_module()
class ShapeNetPart(PointCloudDataset):
    """``<synset>/<id>.txt`` of ``x y z nx ny nz part``, ``train_test_split/shuffled_*_file_list.json``; y up.

    ``category`` (and ``gt_label``) is one of 16, ``point_labels`` the parts 0..49.

    Args:
        data_root: the archive's folder.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"trainval"``, which papers train on.
        with_normals: keep them.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.
    """

    METAINFO = {"classes": tuple(PARTS), "parts": LABELS}  # noqa: RUF012 - mmengine's own form

    def __init__(
        self, data_root: str = "", split: str = "trainval", with_normals: bool = True, **kwargs: Any
    ) -> None:
        self.split = choice("split", split, ("train", "val", "test", "trainval"))
        self.with_normals = with_normals
        super().__init__(data_root=data_root, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The objects in the order of the lists."""
        for split in ("train", "val") if self.split == "trainval" else (self.split,):
            file = self.root / "train_test_split" / f"shuffled_{split}_file_list.json"
            for entry in _entries(file):
                synset, name = entry.split("/")[-2:]
                if synset not in SYNSETS:
                    raise DataError(f"{file}: {entry!r} is of none of the 16 categories")
                label = SYNSETS.index(synset)
                yield dict(
                    sample_id=f"{synset}/{name}",
                    reader="shapenet_part",
                    path=str(self.root / synset / f"{name}.txt"),
                    with_normals=self.with_normals,
                    gt_label=label,
                    category=label,
                )


def _entries(file: Path) -> list[str]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        if not entries or not all(isinstance(entry, str) and "/" in entry for entry in entries):
            raise ValueError("no list of names such as shape_data/02691156/1a04e3")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{file} cannot be read as a list of shapes ({error})") from None
    return entries


@reader("shapenet_part")
def _read_parts(record: dict[str, Any]) -> Arrays:
    try:
        table = np.loadtxt(record["path"], ndmin=2, dtype=np.float32)
    except (OSError, ValueError) as error:
        raise DataError(f"{record['path']} cannot be read as x y z nx ny nz part ({error})") from None
    table = columns_of(table, 7, record)
    parts = np.rint(table[:, 6]).astype(np.int64)
    own = list(LABELS.values())[record["category"]]
    strange = ~np.isin(parts, own)
    if strange.any():
        raise DataError(
            f"{record['path']}: part {parts[strange][0]} is none of {list(PARTS)[record['category']]}, which "
            f"has {own[0]} to {own[-1]}"
        )
    found = {"points": table[:, :3], "point_labels": parts}
    return {**found, "normals": table[:, 3:6]} if record["with_normals"] else found
