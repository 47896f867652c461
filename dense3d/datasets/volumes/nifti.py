"""NIfTI-1 and -2 (``.nii``, ``.nii.gz``, ``.hdr`` with ``.img``), Analyze and MGH, by nibabel.

The affine is sform's, else qform's (NIfTI-1 methods 3 and 2); without either the sides are unknown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.volumes.binary import Binary
from dense3d.datasets.volumes.geometry import checked_affine, checked_shape
from dense3d.datasets.volumes.header import VolumeFile, VolumeHeader
from dense3d.errors import DataError
from dense3d.optional import require

MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}


def open_nifti(path: str) -> VolumeFile:
    """Judge a file of nibabel's formats by its header.

    Raises:
        DataError: it is damaged, truncated or no volume.
        MissingDependencyError: nibabel is not installed.
    """
    nibabel = require("nibabel", f"reading {Path(path).name}")
    _require_magic(path)
    image = _load(nibabel, path)
    proxy = image.dataobj
    sizes = tuple(int(size) for size in image.shape)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    shape = checked_shape(path, sizes[:3])
    frames = int(np.prod(sizes[3:], dtype=object))
    affine, details, notes = _geometry(image)
    slope, intercept = (float(value) for value in (proxy.slope, proxy.inter))
    if not np.isfinite([slope, intercept]).all():
        raise DataError(f"{path}: its scl_slope is {slope} and scl_inter {intercept}; correct the header")
    header = VolumeHeader(
        path,
        type(image).__name__.replace("Image", "").replace("Pair", " pair").replace("Nifti", "NIfTI-"),
        shape,
        proxy.dtype,
        checked_affine(path, affine),
        checked_shape(path, (frames, 1, 1), "frames")[0],
        slope,
        intercept,
        notes=tuple(notes),
        details=details,
        placed=not any("no orientation" in note for note in notes),
    )
    data, offset = image.file_map["image"].filename, int(proxy.offset)
    if offset == 0 and getattr(image.header, "is_single", False):
        offset = image.header.single_vox_offset  # 0 means "after the header", as niftilib reads it
    compressed = Path(data).suffix.lower() in (".gz", ".mgz")
    binary = Binary(str(data), offset, proxy.dtype, shape, frames, compression="gzip" if compressed else None)
    binary.check()
    return VolumeFile(header, binary.axis, binary.slabs, None if compressed else binary.mapped)


def _require_magic(path: str) -> None:
    """An empty file, or one of another kind under this name, said plainly."""
    with Path(path).open("rb") as file:
        start = file.read(2)
    if not start:
        raise DataError(f"{path}: the file is empty; copy it again from where it came from")
    named = path.lower().endswith((".gz", ".mgz"))
    if named and start != b"\x1f\x8b":
        raise DataError(f"{path}: it is called .gz but is not compressed; rename it")
    if not named and start == b"\x1f\x8b":
        raise DataError(f"{path}: it is compressed but not called so; rename it to end in .gz")


def _load(nibabel: Any, path: str) -> Any:
    """The image by its name, or by its first bytes where the name says nothing."""
    if path.lower().endswith((*(".nii", ".hdr", ".img", ".mgh", ".mgz"), ".nii.gz", ".hdr.gz", ".img.gz")):
        return nibabel.load(path)
    with Path(path).open("rb") as file:
        kind = nibabel.Nifti2Image if file.read(8)[4:7] == b"n+2" else nibabel.Nifti1Image
    return kind.from_file_map({"image": nibabel.FileHolder(path)})


def _geometry(image: Any) -> tuple[np.ndarray, dict, list[str]]:
    """The affine in millimetres, what a writer puts back, and what a person should know."""
    header, affine, notes, details = image.header, np.array(image.affine, float), [], {}
    if not hasattr(header, "get_sform"):
        if hasattr(header, "get_best_affine") and not hasattr(header, "get_ras2vox"):
            notes.append(
                "the file states no orientation (Analyze): left and right may be swapped, so check them "
                "against something known"
            )
        return affine, details, notes
    sform, sform_code = header.get_sform(coded=True)
    qform, qform_code = _qform(header)
    usable = {
        "sform": sform_code and _invertible(sform),
        "qform": qform_code and _invertible(qform),
    }
    if usable["sform"]:
        affine = np.array(sform, float)
    elif usable["qform"]:
        affine = np.array(qform, float)
    else:
        affine = header.get_base_affine()
        notes.append(
            "the file states no orientation (sform and qform codes are 0 or unusable): left and right may "
            "be swapped, so check them against something known"
        )
    if sform_code and not usable["sform"]:
        notes.append("its sform is not invertible and was passed over")
    details = {
        "sform": sform if usable["sform"] else None,
        "sform_code": int(sform_code) if usable["sform"] else 0,
        "qform": qform if usable["qform"] else None,
        "qform_code": int(qform_code) if usable["qform"] else 0,
        "zooms": _zooms(header, affine),
    }
    unit = header.get_xyzt_units()[0] if header["xyzt_units"] % 8 in (1, 2, 3) else "mm"
    scale = MILLIMETRES[unit]
    details["unit"] = unit
    return np.diag([scale, scale, scale, 1]) @ affine, details, notes


def _zooms(header: Any, affine: np.ndarray) -> tuple[float, ...]:
    """Its voxel sizes in its own unit, or those of the affine where they are nonsense."""
    zooms = np.array(header.get_zooms()[:3], float)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return tuple(float(zoom) for zoom in np.where(np.isfinite(zooms) & (zooms > 0), zooms, lengths))


def _qform(header: Any) -> tuple[np.ndarray | None, int]:
    """The qform, or nothing where its quaternion is no rotation."""
    try:
        return header.get_qform(coded=True)
    except (ValueError, ArithmeticError):
        return None, 0


def _invertible(affine: np.ndarray | None) -> bool:
    if affine is None or not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return bool((lengths > 0).all() and abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-6)
