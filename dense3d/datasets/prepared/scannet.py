"""ScanNet from its scans: meshes, segments, groups and axis alignments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dense3d.datasets.pointcloud.loading import Arrays, LoadPoints
from dense3d.datasets.pointcloud.scannet import TABLE, ScanNet, states_alignment
from dense3d.errors import DataError

SPLITS = ("train", "val")


def list_scans(root: Path, align: bool) -> Iterator[dict[str, Any]]:
    """The records of the scans of both splits, with the files that boxes need.

    Raises:
        DataError: the folder or a list of scans is missing.
    """
    for split in SPLITS:
        data = ScanNet(str(root), split=split, layout="scans", task="detection", align=align, lazy_init=True)
        for record in data.records():
            folder, scene = Path(record["path"]).parent, record["sample_id"]
            segments = folder / f"{scene}_vh_clean_2.0.010000.segs.json"
            groups = [str(segments), str(folder / f"{scene}.aggregation.json"), str(root / TABLE)]
            needs = [record["path"], *groups]
            needs += [record["alignment"]] if align else []
            yield {**record, "id": scene, "split": split, "groups": groups, "labels": None, "needs": needs}


def read_scan(record: dict[str, Any]) -> Arrays:
    """Points, colours, normals, labels and boxes of a scan.

    Raises:
        DataError: a file is damaged, or the alignment is asked for and not stated.
    """
    if record["alignment"] and not states_alignment(Path(record["alignment"])):
        raise DataError(
            f"{record['alignment']} states no axisAlignment, so the scan cannot be turned; copy it again, or "
            "prepare all scans with --no-align"
        )
    return LoadPoints().transform({**record, "stuff": ScanNet.STUFF})
