"""Write a segmentation on the grid of the file that its volume was read from, in one of four formats."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dense3d.datasets.volumes.segmentation import Color, checked_labels, described
from dense3d.errors import ConfigError
from dense3d.files import require_writable_file
from dense3d.structures.volume import Volume

# suffix -> (what it is, module, function); the order is that of a menu
SEGMENTATION_FORMATS = {
    ".nii.gz": ("NIfTI labels, compressed", "nifti_labels", "write_nifti_labels"),
    ".nii": ("NIfTI labels", "nifti_labels", "write_nifti_labels"),
    ".seg.nrrd": ("3D Slicer segmentation with names and colours", "seg_nrrd", "write_seg_nrrd"),
    ".dcm": ("DICOM SEG, from a DICOM series", "dicom_seg", "write_dicom_seg"),
}


def write_segmentation(
    path: str | os.PathLike,
    labels: np.ndarray,
    volume: Volume,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, Color] | None = None,
) -> None:
    """Write labels so that they lie on the voxels of the file that ``volume`` was read from.

    Args:
        path: ``.nii``, ``.nii.gz``, ``.seg.nrrd`` or ``.dcm`` (DICOM SEG, where the volume is a DICOM
            series); replaced atomically.
        labels: (X, Y, Z) integers, 0 is the background, on the volume's own grid or on its full grid in its
            axis order. (S, X, Y, Z) booleans are S segments, labelled 1 to S, which may overlap in
            ``.seg.nrrd`` and ``.dcm``.
        volume: whose voxels they are.
        names: label -> name.
        colors: label -> red, green, blue of 0 .. 1.

    Raises:
        ConfigError: the format is unknown or does not fit, or labels are on another grid.
        MissingDependencyError: the package that writes the format is not installed.
    """
    path = Path(path)
    suffix = next((suffix for suffix in SEGMENTATION_FORMATS if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise ConfigError(
            f"{path}: a segmentation is written as {', '.join(SEGMENTATION_FORMATS)}; end the name with one "
            "of them"
        )
    require_writable_file(path)
    labels = np.asarray(labels)
    masks = list(labels) if labels.ndim == 4 else None
    if any(array.shape not in (volume.shape, volume.full_shape) for array in (masks or [labels])):
        raise ConfigError(
            f"{path}: labels of shape {labels.shape} do not lie on the {volume.shape} voxels of {volume.name}"
        )
    _, module, function = SEGMENTATION_FORMATS[suffix]
    write = getattr(importlib.import_module(f"dense3d.datasets.volumes.{module}"), function)
    if masks is None:
        stored = volume.to_source(checked_labels(labels))
        write(path, stored, volume, described(stored, names, colors))
        return
    segments = described(np.arange(len(masks) + 1, dtype=np.uint16), names, colors)
    stored = np.stack([volume.to_source(mask.astype(bool)) for mask in masks])
    write(path, stored, volume, segments)
