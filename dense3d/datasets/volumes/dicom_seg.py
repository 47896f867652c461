"""DICOM segmentations: written by highdicom on the series that was opened, read by pydicom."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.volumes.dicom_slices import SEGMENTATIONS
from dense3d.datasets.volumes.failures import reason
from dense3d.datasets.volumes.segmentation import Color
from dense3d.errors import ConfigError
from dense3d.files import atomic_write
from dense3d.optional import require
from dense3d.structures.volume import Volume

FROM_PATIENT = (  # attributes that a SEG repeats; empty where a source lacks them, which the standard allows
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
LONGEST_NAME = 64  # characters of LO


def is_dicom_seg(path: str) -> bool:
    """Whether it is a DICOM file of segments."""
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return False
    pydicom = require("pydicom", "reading DICOM")
    data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    return data.get("SOPClassUID") in SEGMENTATIONS


def write_dicom_seg(
    path: Path, labels: np.ndarray, volume: Volume, segments: list[tuple[int, str, Color]]
) -> None:
    """Write segments that refer to the images of the series.

    Args:
        path: the file.
        labels: (X, Y, Z) unsigned on the file's own grid, or (S, X, Y, Z) bool of segments that may overlap.
        volume: opened from a DICOM series.
        segments: label, name and colour of each; segments are numbered from 1 in this order.

    Raises:
        ConfigError: the volume is no DICOM series, or nothing is segmented.
        MissingDependencyError: highdicom is not installed.
    """
    slices = volume.source.details.get("slices")
    if slices is None:
        raise ConfigError(
            f"{path}: DICOM SEG refers to the images of a DICOM series, and {volume.name} is none; write "
            ".nii.gz or .seg.nrrd, or open the DICOM folder"
        )
    if not segments:
        raise ConfigError(
            f"{path}: nothing is segmented yet, and DICOM SEG needs a segment; mark a structure first"
        )
    highdicom = require("highdicom", "writing DICOM SEG")
    images, order = _source_images(path, slices, volume.source.details.get("frame", 0))
    planes = _planes(labels, segments, order)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            segmentation = _segmentation(highdicom, images, planes, segments)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path}: the series lacks what DICOM SEG needs ({reason(error)}); write .seg.nrrd or .nii.gz "
            "instead"
        ) from error
    with atomic_write(path) as file:
        segmentation.save_as(file)


def _segmentation(highdicom: Any, images: list, planes: np.ndarray, segments: list) -> Any:
    from dense3d import __version__

    return highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=planes,
        segmentation_type="BINARY",
        segment_descriptions=[
            _description(highdicom, number, name, color)
            for number, (_, name, color) in enumerate(segments, 1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=900,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="dense3d",
        manufacturer_model_name="dense3d",
        software_versions=__version__,
        device_serial_number="1",
        series_description="dense3d segmentation",
    )


def _source_images(path: Path, slices: tuple, frame: int) -> tuple[list, np.ndarray | None]:
    """Data sets of the series in slice order; for a multi-frame file, which frame each slice is."""
    pydicom = require("pydicom", "writing DICOM SEG")
    first = [place[frame] for place in slices]
    files = list(dict.fromkeys(item.path for item in first))
    images = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    for image in images:
        for keyword in FROM_PATIENT:
            if keyword not in image:
                setattr(image, keyword, "")
        if "FrameOfReferenceUID" not in image:
            raise ConfigError(
                f"{path}: the series has no FrameOfReferenceUID, to which DICOM SEG refers; write .nii.gz "
                "instead"
            )
    if first[0].frame is None:
        return images, None
    if len(files) > 1:
        raise ConfigError(f"{path}: the series lies in {len(files)} multi-frame files; write .nii.gz instead")
    order = np.full(int(images[0].NumberOfFrames), -1)
    order[[item.frame for item in first]] = np.arange(len(first))
    return images, order


def _planes(labels: np.ndarray, segments: list, order: np.ndarray | None) -> np.ndarray:
    """(frames, rows, columns) segment numbers, or (frames, rows, columns, S) 0 and 1."""
    if labels.ndim == 3:
        numbers = np.zeros(max(int(labels.max()), max(label for label, _, _ in segments)) + 1, np.uint16)
        for number, (label, _, _) in enumerate(segments, 1):
            numbers[label] = number
        planes = numbers[labels].transpose(2, 1, 0)
        planes = planes.astype(np.uint8) if len(segments) < 256 else planes
    else:
        planes = labels.transpose(3, 2, 1, 0).astype(np.uint8)
    if order is None:
        return np.ascontiguousarray(planes)
    full = np.zeros((len(order), *planes.shape[1:]), planes.dtype)
    full[order >= 0] = planes[order[order >= 0]]
    return full


def _description(highdicom: Any, number: int, name: str, color: Color) -> object:
    from highdicom.color import CIELabColor
    from highdicom.content import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    from dense3d import __version__

    lab = require("skimage.color", "colours of DICOM SEG").rgb2lab(np.array([[color]], float))[0, 0]
    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:LONGEST_NAME],
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            "dense3d", codes.cid7162.ArtificialIntelligence, __version__
        ),
    )
    description.RecommendedDisplayCIELabValue = list(CIELabColor(*(float(part) for part in lab)).value)
    return description
