"""Segmentations as NIfTI: the affine and the codes are those of the volume's own file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dense3d.datasets.volumes.segmentation import Color
from dense3d.errors import ConfigError
from dense3d.files import atomic_write
from dense3d.optional import require
from dense3d.structures.volume import Volume

SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT


def write_nifti_labels(
    path: Path, labels: np.ndarray, volume: Volume, segments: list[tuple[int, str, Color]]
) -> None:
    """Write labels of the file's own grid.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        labels: (X, Y, Z) unsigned, or (S, X, Y, Z) bool of segments that do not overlap.
        volume: whose source gives affine and codes.
        segments: names have no place in NIfTI; unused.

    Raises:
        ConfigError: segments overlap.
    """
    nibabel = require("nibabel", "writing NIfTI")
    if labels.ndim == 4:
        labels = merged(path, labels)
    image = nibabel.Nifti1Image(labels, volume.source.affine)
    place_like_source(image, volume)
    image.header["intent_code"] = 1002  # NIFTI_INTENT_LABEL
    image.header["descrip"] = b"dense3d segmentation"
    with atomic_write(path) as file:
        if not path.name.lower().endswith(".gz"):
            image.to_file_map({"image": nibabel.FileHolder(fileobj=file)})
            return
        from isal import igzip

        with igzip.GzipFile("", "wb", 2, file, mtime=0) as compressed:
            image.to_file_map({"image": nibabel.FileHolder(fileobj=compressed)})


def place_like_source(image: object, volume: Volume) -> None:
    """Give an image the forms, codes and unit of the volume's own file.

    Args:
        image: of nibabel.
        volume: where its source is no NIfTI file, both forms become the affine, as scanner coordinates;
            qform, which cannot shear, is left out where axes are not orthogonal.
    """
    details = volume.source.details
    if "sform_code" in details:
        image.header.set_zooms(details["zooms"])
        for form in ("sform", "qform"):
            set_form, matrix = getattr(image, f"set_{form}"), details[form]
            set_form(matrix, details[f"{form}_code"]) if matrix is not None else set_form(None, 0)
        image.header.set_xyzt_units(details["unit"])
        return
    affine = volume.source.affine
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    is_rotation = np.allclose(axes.T @ axes, np.eye(3), atol=1e-4)
    image.set_sform(affine, SCANNER)
    image.set_qform(affine if is_rotation else None, SCANNER if is_rotation else 0)
    image.header.set_xyzt_units("mm")


def merged(path: Path, masks: np.ndarray) -> np.ndarray:
    """(X, Y, Z) labels of segments that do not overlap.

    Raises:
        ConfigError: two of them claim a voxel.
    """
    count = masks.sum(0, dtype=np.uint16)
    if count.max(initial=0) > 1:
        raise ConfigError(
            f"{path}: {int((count > 1).sum())} voxels belong to several segments, which this format cannot "
            "say; write .seg.nrrd, or labels"
        )
    labels = np.zeros(masks.shape[1:], np.uint8 if len(masks) < 256 else np.uint16)
    for index, mask in enumerate(masks, 1):
        labels[mask] = index
    return labels
