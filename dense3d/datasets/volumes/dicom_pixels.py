"""Samples of DICOM images, plain and compressed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from dense3d.datasets.volumes.dicom_slices import DicomSlice
from dense3d.datasets.volumes.failures import reason
from dense3d.datasets.volumes.memory import budget_bytes, readable_size
from dense3d.errors import DataError
from dense3d.optional import require

PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPANSION = 5000  # of compressed samples; an empty slice in JPEG 2000 comes near it


def stored_dtype(item: DicomSlice) -> np.dtype:
    """Type of its stored samples.

    Raises:
        DataError: of a width that is not read.
    """
    if item.bits not in (8, 16, 32):
        raise DataError(f"{item.path}: its samples have {item.bits} bits; export the series with 8 or 16")
    return np.dtype(f"{'i' if item.signed else 'u'}{item.bits // 8}")


def check_size(slices: list[DicomSlice]) -> None:
    """Judge what headers declare by the size of the files.

    Raises:
        DataError: a file is too small for it.
    """
    declared: Counter = Counter()
    for item in slices:
        declared[item.path] += item.rows * item.columns * item.bits // 8
    syntaxes = {item.path: item.syntax for item in slices}
    for path, count in declared.items():
        size = Path(path).stat().st_size
        most = size if syntaxes[path] in PLAIN else size * EXPANSION
        if count > most:
            raise DataError(
                f"{path}: its header declares {readable_size(count)} of samples but the file has only "
                f"{readable_size(size)}: it is truncated; copy it again"
            )
        if syntaxes[path] == DEFLATED and size * 1032 > budget_bytes():
            raise DataError(
                f"{path}: it is deflated and may expand beyond the free memory; export it uncompressed"
            )


def read_pixels(item: DicomSlice, opened: dict) -> np.ndarray:
    """(rows, columns) stored samples.

    Args:
        item: the image.
        opened: what the last call read of its file, kept for the next one.

    Raises:
        DataError: they are damaged or truncated, or their compression cannot be undone here.
    """
    pydicom = require("pydicom", "reading DICOM")
    try:
        if item.path not in opened:
            opened.clear()
            opened[item.path] = pydicom.dcmread(item.path)
        data = opened[item.path]
        if not _has_pixels(data):
            raise DataError(f"{item.path}: it ends before its samples: it is truncated; copy it again")
        pixels = _decoded(pydicom, data, item)
    except DataError:
        raise
    except Exception as error:
        if item.syntax in (*PLAIN, DEFLATED):
            raise DataError(
                f"{item.path}: its samples are damaged or truncated ({reason(error)}); copy the file again"
            ) from error
        pixels = _by_simpleitk(item, error, opened)
    if pixels.shape != (item.rows, item.columns):
        raise DataError(
            f"{item.path}: its samples have shape {pixels.shape}, not {(item.rows, item.columns)}"
        )
    return pixels.astype(stored_dtype(item), copy=False)


def _has_pixels(data: object) -> bool:
    return "PixelData" in data


def _decoded(pydicom: object, data: object, item: DicomSlice) -> np.ndarray:
    if item.frame is None:
        return data.pixel_array
    try:
        from pydicom.pixels import pixel_array
    except ImportError:  # pydicom 2 decodes all frames at once
        return data.pixel_array if data.pixel_array.ndim == 2 else data.pixel_array[item.frame]
    return pixel_array(data, index=item.frame)


def _by_simpleitk(item: DicomSlice, error: Exception, opened: dict) -> np.ndarray:
    """What pydicom has no decoder for, GDCM inside SimpleITK often has; it applies slope and intercept."""
    sitk = require("SimpleITK", "decompressing DICOM")
    try:
        if "decompressed" not in opened:
            opened["decompressed"] = sitk.GetArrayFromImage(sitk.ReadImage(item.path))
        values = opened["decompressed"][item.frame or 0]
    except Exception:
        raise DataError(
            f"{item.path}: its compression {item.syntax} cannot be undone here ({reason(error)}); export "
            "the series uncompressed, or pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
        ) from error
    return np.rint((values.astype(np.float64) - item.intercept) / (item.slope or 1))
