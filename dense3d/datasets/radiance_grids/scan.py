"""The scan of a data set of radiance grids before training, and of each of its scenes on request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dense3d.datasets.radiance_grids.base import RadianceGridDataset, missing_file
from dense3d.datasets.radiance_grids.loading import LoadRadianceGrid
from dense3d.datasets.radiance_grids.splits import LAYOUT
from dense3d.datasets.scan.report import Fault, ScanReport
from dense3d.errors import DataError

REMEDY = f"download or make it; the layout is described in {LAYOUT}"


def scan_grids(name: str, dataset: RadianceGridDataset, read: bool = False, workers: int = 2) -> ScanReport:
    """Look through the scenes of a data set.

    Args:
        name: of the data set, for people.
        dataset: need not have listed its scenes.
        read: also read each scene as :class:`~dense3d.datasets.radiance_grids.loading.LoadRadianceGrid` does.
        workers: threads.

    Raises:
        DataError: the scenes cannot be listed.
    """
    report = ScanReport(name)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for fault in pool.map(lambda record: _fault(record, read), list(dataset.records())):
            if fault is None:
                report.found += 1
                continue
            report.faults.append(fault)
            report.missing += fault.rule == "file-missing"
            report.corrupt += fault.rule == "grid-unreadable"
    return report


def _fault(record: dict[str, Any], read: bool) -> Fault | None:
    path = missing_file(record)
    if path is not None:
        return Fault("file-missing", path, "there is no such file", remedy=REMEDY, image=record["sample_id"])
    if read:
        try:
            LoadRadianceGrid().transform(dict(record))
        except DataError as error:
            where, separator, value = str(error).partition(": ")
            where, value = (where, value) if separator else (record["path"], str(error))
            return Fault("grid-unreadable", where, value, image=record["sample_id"])
    return None
