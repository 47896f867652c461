"""What each image of DICOM files says of itself: where it lies and how its samples are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.volumes.failures import reason
from dense3d.errors import DataError
from dense3d.optional import require

TAGS = (
    *(
        "SOPClassUID",
        "SOPInstanceUID",
        "SeriesInstanceUID",
        "SeriesDescription",
        "Modality",
        "InstanceNumber",
    ),
    *("Rows", "Columns", "BitsAllocated", "PixelRepresentation", "SamplesPerPixel", "NumberOfFrames"),
    *(
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "SpacingBetweenSlices",
    ),
    *(
        "RescaleSlope",
        "RescaleIntercept",
        "TemporalPositionIdentifier",
        "AcquisitionNumber",
        "AcquisitionTime",
    ),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PhotometricInterpretation"),
    *("ImagerPixelSpacing", "FrameOfReferenceUID"),
)
# of copies of a file; the UID alone is the same for a whole series after some anonymisation
SAME_IMAGE = ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient")
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


@dataclass(frozen=True)
class DicomSlice:
    """One image.

    Args:
        path: of its file.
        frame: index in a multi-frame file, else None.
        series: its UID.
        description: of the series, for a person.
        modality: "CT", "MR" ...
        rows, columns: its size.
        bits: of a stored sample.
        signed: whether samples may be negative.
        position: (3,) millimetres of the first pixel's centre, LPS; None where the file is silent.
        orientation: (6,) directions of increasing column and row, LPS; None where the file is silent.
        spacing: millimetres between rows and between columns.
        thickness: millimetres between slices as stated, or None.
        slope: value = slope * stored + intercept.
        intercept: see ``slope``.
        order: what sorts images of one place: time, acquisition, number.
        syntax: UID of the transfer syntax.
    """

    path: str
    frame: int | None
    series: str
    description: str
    modality: str | None
    rows: int
    columns: int
    bits: int
    signed: bool
    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float]
    thickness: float | None
    slope: float
    intercept: float
    order: tuple
    syntax: str


def slices_of(files: list[Path]) -> tuple[list[DicomSlice], list[DataError]]:
    """All images of files, and why some DICOM files give none; files of other kinds are passed over."""
    pydicom = require("pydicom", "reading DICOM")
    found, faults, instances = [], [], set()
    for path in files:
        if not is_dicom(path):
            continue
        try:
            data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
            if data.get("SOPClassUID") in SEGMENTATIONS or "Rows" not in data or "BitsAllocated" not in data:
                continue
            instance = tuple(str(data.get(keyword) or "") for keyword in SAME_IMAGE)
            if instance[0] and instance in instances:
                continue  # a copy of a file
            instances.add(instance)
            found.extend(_images(str(path), data))
        except DataError as error:
            faults.append(error)
        except Exception as error:
            told = f"{path}: its DICOM header is damaged ({reason(error)}); copy the file again or remove it"
            faults.append(DataError(told))
    return found, faults


def is_dicom(path: Path) -> bool:
    """Whether a file begins as part 10 of the standard says."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" and path.name != "DICOMDIR"


def _images(path: str, data: Any) -> Iterator[DicomSlice]:
    if int(data.get("SamplesPerPixel") or 1) != 1 or data.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise DataError(
            f"{path}: its pixels are colours and no single values; export the series in grey values"
        )
    frames = int(data.get("NumberOfFrames") or 1)
    groups = data.get("PerFrameFunctionalGroupsSequence") or []
    shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
    if not 1 <= frames <= 100_000 or (groups and len(groups) != frames):
        raise DataError(
            f"{path}: it declares {frames} frames and describes {len(groups)}; copy the file again"
        )
    multiple = frames > 1 or bool(groups)
    for frame in range(frames):
        sources = [data, shared, groups[frame] if groups else None]
        image = _image(path, frame if multiple else None, data, sources)
        # one position for many frames says where the first is, and not where the others are
        yield replace(image, position=None) if frames > 1 and not groups else image


def _image(path: str, frame: int | None, data: Any, sources: list) -> DicomSlice:
    spacing = _numbers(_found(sources, "PixelSpacing", "PixelMeasuresSequence"), 2)
    if spacing is None:
        spacing = _numbers(data.get("ImagerPixelSpacing"), 2)
    thickness = _found(sources, "SpacingBetweenSlices", "PixelMeasuresSequence")
    if not thickness:
        thickness = _found(sources, "SliceThickness", "PixelMeasuresSequence")
    slope = _found(sources, "RescaleSlope", "PixelValueTransformationSequence")
    intercept = _found(sources, "RescaleIntercept", "PixelValueTransformationSequence")
    time = _found(sources, "TemporalPositionIndex", "FrameContentSequence")
    if time is None:
        time = data.get("TemporalPositionIdentifier")
    order = (
        _number(time, 0),
        _number(data.get("AcquisitionNumber"), 0),
        _number(data.get("InstanceNumber"), 0),
    )
    return DicomSlice(
        path,
        frame,
        str(data.get("SeriesInstanceUID", "")),
        str(data.get("SeriesDescription", "") or "without a name")[:64],
        str(data.get("Modality", "")) or None,
        int(data.Rows),
        int(data.Columns),
        int(data.BitsAllocated),
        bool(data.get("PixelRepresentation", 0)),
        _numbers(_found(sources, "ImagePositionPatient", "PlanePositionSequence"), 3),
        _numbers(_found(sources, "ImageOrientationPatient", "PlaneOrientationSequence"), 6),
        spacing or (1.0, 1.0),
        abs(_number(thickness, 0)) or None,
        1.0 if slope is None else float(slope),
        0.0 if intercept is None else float(intercept),
        (*order, frame or 0),
        str(data.file_meta.get("TransferSyntaxUID", "")),
    )


def _found(sources: list, keyword: str, sequence: str) -> Any:
    """The value of the innermost functional group that has it, else of the data set itself."""
    for source in reversed(sources):
        if source is None:
            continue
        if source.get(sequence):
            value = source.get(sequence)[0].get(keyword)
            if value not in (None, ""):
                return value
        if source.get(keyword) not in (None, ""):
            return source.get(keyword)
    return None


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or len(np.atleast_1d(value)) != count:
        return None
    numbers = tuple(float(part) for part in value)
    return numbers if np.isfinite(numbers).all() else None


def _number(value: Any, default: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return default
