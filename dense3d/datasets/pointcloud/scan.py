"""The scan of a data set of point clouds before training, and of each of its clouds on request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dense3d.datasets.pointcloud.base import LAYOUT, PointCloudDataset
from dense3d.datasets.pointcloud.loading import LoadPoints
from dense3d.datasets.scan.report import Fault, ScanReport
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder

REMEDY = f"download or restore it; the layout is described in {LAYOUT}"


def scan_clouds(name: str, dataset: PointCloudDataset, read: bool = False, workers: int = 2) -> ScanReport:
    """Look through the clouds of a data set.

    Args:
        name: of the data set, for people.
        dataset: need not have listed its clouds.
        read: also read each cloud as :class:`~dense3d.datasets.pointcloud.loading.LoadPoints` does.
        workers: threads.

    Raises:
        DataError: the clouds cannot be listed.
    """
    report = ScanReport(name)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for fault in pool.map(lambda record: _fault(record, read), list(dataset.records())):
            if fault is None:
                report.found += 1
                continue
            report.faults.append(fault)
            report.missing += fault.rule == "file-missing"
            report.corrupt += fault.rule == "cloud-unreadable"
    return report


def _fault(record: dict[str, Any], read: bool) -> Fault | None:
    for path in record.get("needs", (record["path"],)):
        if not (is_file(path) or is_folder(path)):
            value = "there is no such file"
            return Fault("file-missing", path, value, remedy=REMEDY, image=record["sample_id"])
    if read:
        try:
            LoadPoints().transform(dict(record))
        except DataError as error:
            where, _, value = (
                str(error).partition(": ") if ": " in str(error) else (record["path"], "", str(error))
            )
            return Fault("cloud-unreadable", where, value, image=record["sample_id"])
    return None
