"""The scan of a stereo or flow data set before training, and of each of its files on request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dense3d.datasets.scan.images import check_image
from dense3d.datasets.scan.report import Fault, ScanReport
from dense3d.datasets.stereo.base import StereoDataset, select
from dense3d.datasets.stereo.loading import LoadStereo
from dense3d.errors import DataError
from dense3d.files import is_file

REMEDY = f"download or restore it; the layout is described in {StereoDataset.LAYOUT}"


def scan_stereo(
    name: str, dataset: StereoDataset, decode: bool = False, workers: int = 2, settings: Any = None
) -> ScanReport:
    """Look through the pairs of a data set.

    Args:
        name: of the data set, for people.
        dataset: need not have listed its pairs.
        decode: also read images and ground truth as :class:`~dense3d.datasets.stereo.loading.LoadStereo` does
            and check them; without it only headers and ends of the pictures are read.
        workers: threads.
        settings: of that transform.

    Raises:
        DataError: the pairs cannot be listed.
    """
    records = select(list(dataset.pairs()), dataset.only, dataset.without, str(dataset.data_root))
    report = ScanReport(name)
    load = LoadStereo(**(settings or {})) if decode else None
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for faults in pool.map(lambda record: _faults(record, load), records):
            report.faults += faults
            report.found += not faults
            report.missing += any(fault.rule == "file-missing" for fault in faults)
            report.corrupt += any(fault.rule != "file-missing" for fault in faults)
    report.annotations = sum(bool(record["files"]) for record in records)
    report.empty = len(records) - report.annotations
    if not records:
        report.faults.append(Fault("no-pairs", str(dataset.data_root), "holds no pair", remedy=REMEDY))
    return report


def _faults(record: dict[str, Any], load: LoadStereo | None) -> list[Fault]:
    images = (record["left_path"], record["right_path"])
    paths = [*images, *(path for path, _ in record["files"].values())]
    pair = record["sample_id"]
    absent = [
        Fault("file-missing", path, "the file does not exist", item=f"pair {pair}", remedy=REMEDY, image=pair)
        for path in paths
        if not is_file(path)
    ]
    if absent:
        return absent
    if load is None:
        found = (check_image(path) for path in images)
        return [fault for fault in found if fault is not None]
    try:
        load.transform(dict(record))
    except DataError as error:
        return [Fault("pair", f"pair {pair}", str(error), image=pair)]
    return []
