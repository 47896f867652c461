"""SUN RGB-D: clouds of single views with oriented boxes, as VoteNet or mmdetection3d prepare them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.base import LAYOUT, PointCloudDataset, choice
from dense3d.datasets.pointcloud.infos import info_records
from dense3d.datasets.pointcloud.loading import Arrays, columns_of, reader
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS
from dense3d.structures.cloud_files.arrays import DAMAGE, load_npy
from dense3d.structures.cloud_files.columns import whole_numbers
from dense3d.structures.cloud_files.judging import unit_colors

CLASSES = (
    "bed", "table", "sofa", "chair", "toilet", "desk", "dresser", "night_stand", "bookshelf", "bathtub",
)  # fmt: skip


@DATASETS.register_module()
class SunRgbdPoints(PointCloudDataset):
    """Points in the upright depth frame (x right, y forward, z up), boxes of 10 classes.

    Layouts: ``sunrgbd_pc_bbox_votes_50k_v1_{train,val}/<id>_{pc.npz,bbox.npy}`` of VoteNet, whose boxes hold
    half sizes and a clockwise heading and are converted; or ``points/<id>.bin`` and ``sunrgbd_infos.json``.

    Args:
        data_root: folder of the data set.
        split: ``"train"`` or ``"val"``; the second layout has no splits.
        version: of VoteNet's labels, ``"v1"`` or ``"v2"``.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.
    """

    METAINFO = {"classes": CLASSES}  # noqa: RUF012 - mmengine's own form

    def __init__(self, data_root: str = "", split: str = "train", version: str = "v1", **kwargs: Any) -> None:
        self.split = choice("split", split, ("train", "val"))
        self.version = choice("version", version, ("v1", "v2"))
        super().__init__(data_root=data_root, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The views in the order of their names."""
        if is_file(self.root / "sunrgbd_infos.json"):
            yield from info_records(self.root, "sunrgbd_infos.json", CLASSES)
            return
        folder = self.root / f"sunrgbd_pc_bbox_votes_50k_{self.version}_{self.split}"
        if not is_folder(folder):
            raise DataError(f"{folder} does not exist, nor sunrgbd_infos.json; the layouts are in {LAYOUT}")
        for path in sorted(folder.glob("*_pc.npz")):
            boxes = folder / f"{path.name.removesuffix('_pc.npz')}_bbox.npy"
            needs = (str(path), str(boxes))
            yield dict(sample_id=boxes.name[:-9], reader="votenet", path=needs[0], needs=needs)


@reader("votenet")
def _read_votenet(record: dict[str, Any]) -> Arrays:
    try:
        with np.load(record["path"], allow_pickle=False) as archive:
            table = archive["pc"]
    except DAMAGE as error:
        raise DataError(f"{record['path']} cannot be read as an archive with 'pc' ({error})") from None
    table = columns_of(table, 3, record)
    found: Arrays = {"points": table[:, :3].astype(np.float32)}
    if table.shape[1] >= 6:
        found["colors"] = unit_colors(table[:, 3:6], record["path"], color_max=1)
    boxes = load_npy(Path(record["needs"][1]), mapped=False)
    if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 8):
        raise DataError(
            f"{record['needs'][1]} is of shape {boxes.shape}; VoteNet's boxes are (K, 8): centre, half "
            "sizes, heading, class"
        )
    boxes = boxes.reshape(-1, 8)
    rows = np.concatenate([boxes[:, :3], 2 * boxes[:, 3:6], -boxes[:, 6:7]], axis=1)
    found["gt_boxes"] = rows.astype(np.float32)
    found["gt_box_labels"] = whole_numbers(boxes[:, 7], record["needs"][1])
    return found
