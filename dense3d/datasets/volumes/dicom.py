"""DICOM: a folder of slices, or one multi-frame file, by pydicom; SimpleITK helps with compressed samples.

Slices are put in the order of their positions along the normal of their planes, never of their names. The
affine keeps what DICOM states, also the shear of a tilted gantry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from dense3d.datasets.volumes.dicom_pixels import check_size, read_pixels, stored_dtype
from dense3d.datasets.volumes.dicom_slices import DicomSlice, slices_of
from dense3d.datasets.volumes.dicom_stack import Stack, stacked
from dense3d.datasets.volumes.geometry import checked_affine, checked_shape
from dense3d.datasets.volumes.header import Bounds, VolumeFile, VolumeHeader
from dense3d.errors import DataError

MOST_FILES = 50_000
SAME_SPACING = 1e-3
SAME_DIRECTION = 0.01  # of a unit vector


def open_dicom(path: str) -> VolumeFile:
    """Judge a series by the headers of its files.

    Args:
        path: a folder, searched with its subfolders, whose largest series is taken; or one file, whose series
            is taken from its folder.

    Raises:
        DataError: there is no series of images, slices are missing or differ in size, or a file is damaged.
        MissingDependencyError: pydicom is not installed.
    """
    found, faults = slices_of(_files(path))
    if faults and (not found or (Path(path).is_file() and str(faults[0]).startswith(f"{Path(path)}:"))):
        raise faults[0]
    if not found:
        raise DataError(
            f"{path}: none of its files is a DICOM image with samples; choose the folder of a series"
        )
    series, notes = _chosen_series(path, found)
    if faults:
        notes.append(f"{len(faults)} DICOM files were passed over, the first because of: {faults[0]}")
    series, localizers = _one_orientation(series)
    if localizers:
        notes.append(f"{localizers} images of another direction (localizers) were passed over")
    _require_one_size(path, series)
    stack = stacked(path, series)
    notes += stack.notes
    first = stack.slices[0][0]
    shape = checked_shape(path, (first.columns, first.rows, len(stack.slices)))
    check_size([item for position in stack.slices for item in position])
    scales = {(item.slope, item.intercept) for position in stack.slices for item in position}
    slope, intercept = scales.pop() if len(scales) == 1 else (1.0, 0.0)
    varies = bool(scales)
    if varies:
        notes.append("slices have rescale slopes of their own, which were applied")
    header = VolumeHeader(
        path,
        "DICOM",
        shape,
        np.dtype(np.float32) if varies else stored_dtype(first),
        checked_affine(path, stack.affine),
        len(stack.slices[0]),
        slope,
        intercept,
        first.modality,
        tuple(notes),
        {"slices": stack.slices},
        stack.placed,
    )
    return VolumeFile(header, 2, _SlabReader(stack, varies))


class _SlabReader:
    """Samples of a stack, file by file."""

    def __init__(self, stack: Stack, varies: bool) -> None:
        self.stack, self.varies = stack, varies

    def __call__(self, frame: int, bounds: Bounds) -> Iterator[np.ndarray]:
        opened: dict = {}  # a multi-frame file is read once, and not once a frame
        for start, stop in bounds:
            planes = [self._plane(position[frame], opened) for position in self.stack.slices[start:stop]]
            yield np.stack(planes).transpose(2, 1, 0)

    def _plane(self, item: DicomSlice, opened: dict) -> np.ndarray:
        pixels = read_pixels(item, opened if item.frame is not None else {})
        if not self.varies:
            return pixels
        return pixels.astype(np.float32) * np.float32(item.slope) + np.float32(item.intercept)


def _files(path: str) -> list[Path]:
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.is_file() and not file.name.startswith("."))
    else:
        siblings = sorted(file for file in place.parent.iterdir() if file.is_file() and file != place)
        files = [place, *siblings]
    if len(files) > MOST_FILES:
        raise DataError(f"{path}: {len(files)} files are too many for a series; choose a folder further down")
    return files


def _chosen_series(path: str, found: list[DicomSlice]) -> tuple[list[DicomSlice], list[str]]:
    """That of the file, or the largest of the folder, and what else there is."""
    sizes = Counter()
    for item in found:
        sizes[item.series] += item.rows * item.columns
    if Path(path).is_file():
        own = [item.series for item in found if item.path == str(Path(path))]
        if not own:
            raise DataError(
                f"{path}: this DICOM file holds no image samples; choose one of a series of images"
            )
        return [item for item in found if item.series == own[0]], []
    largest = max(sizes, key=lambda series: (sizes[series], series))
    chosen = [item for item in found if item.series == largest]
    if len(sizes) == 1:
        return chosen, []
    others = []
    for series in sorted(set(sizes) - {largest}, key=lambda series: -sizes[series])[:5]:
        items = [item for item in found if item.series == series]
        others.append(f"{items[0].description!r} ({len(items)} images, {Path(items[0].path).name})")
    return chosen, [
        f"the folder holds {len(sizes)} series: {chosen[0].description!r} with {len(chosen)} images is "
        f"open, the largest; open a file of another to see it: {', '.join(others)}"
    ]


def _one_orientation(series: list[DicomSlice]) -> tuple[list[DicomSlice], int]:
    """The slices of the commonest direction, and how many others there are."""
    groups: list[list[DicomSlice]] = []
    for item in series:
        same = next((group for group in groups if _is_parallel(group[0], item)), None)
        if same is None:
            groups.append([item])
        else:
            same.append(item)
    kept = max(groups, key=len)
    return kept, len(series) - len(kept)


def _is_parallel(first: DicomSlice, second: DicomSlice) -> bool:
    """Whether two slices have the same directions, but for what scanners round differently."""
    if first.orientation is None or second.orientation is None:
        return first.orientation is second.orientation
    return all(abs(a - b) < SAME_DIRECTION for a, b in zip(first.orientation, second.orientation))


def _require_one_size(path: str, series: list[DicomSlice]) -> None:
    def kind(item: DicomSlice) -> tuple:
        return (item.rows, item.columns, item.bits, item.signed)

    def told(item: DicomSlice) -> str:
        return (
            f"{item.columns} x {item.rows} pixels of {item.spacing[1]:g} x {item.spacing[0]:g} mm, "
            f"{item.bits} bits {'with' if item.signed else 'without'} sign"
        )

    common = Counter(map(kind, series)).most_common(1)[0][0]
    spacing = np.median([item.spacing for item in series], 0)
    first = next(item for item in series if kind(item) == common)
    for item in series:
        if kind(item) != common or not np.allclose(item.spacing, spacing, rtol=SAME_SPACING):
            size, usual = told(item), told(replace(first, spacing=tuple(spacing)))
            raise DataError(
                f"{path}: {Path(item.path).name} has {size}, but most slices have {usual}; move it to "
                "another folder"
            )
