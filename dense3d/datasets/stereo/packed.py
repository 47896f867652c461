"""Sintel's disparity, packed into the colours of a png, and Spring's disparity and flow in HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dense3d.datasets.stereo.pfm import read_bytes
from dense3d.datasets.stereo.pictures import read_numbers, write_numbers
from dense3d.errors import DataError
from dense3d.files import atomic_write
from dense3d.optional import require


def read_sintel_disparity(path: str | Path) -> np.ndarray:
    """``4 R + G / 64 + B / 16384`` pixels, up to 1024 without overflow.

    Returns:
        (H, W) float32.

    Raises:
        DataError: the file cannot be read or is no RGB image of 8 bits.
    """
    red, green, blue = np.moveaxis(read_numbers(path, bits=8, channels=3).astype(np.float32), 2, 0)
    return red * 4 + green / 64 + blue / 16384


def write_sintel_disparity(path: str | Path, disparity: np.ndarray) -> None:
    """Write disparity (H, W) as Sintel does, to 1/16384 of a pixel.

    Raises:
        DataError: a value is not finite, negative, or 1024 and more.
    """
    stored = np.rint(np.asarray(disparity, dtype=np.float64) * 16384)
    if not np.isfinite(stored).all() or stored.min() < 0 or stored.max() >= 1 << 24:
        raise DataError(f"{path}: Sintel's format holds 0 to 1024 pixels, and no unknown ones")
    whole = stored.astype(np.int64)
    write_numbers(path, np.stack([whole >> 16, whole >> 8 & 255, whole & 255], axis=2).astype(np.uint8))


def read_hdf5(path: str | Path, name: str) -> np.ndarray:
    """A data set of an HDF5 file: ``disparity`` of Spring's dsp5, ``flow`` of its flo5.

    Returns:
        float32, as stored.

    Raises:
        DataError: the file is missing, damaged, or lacks it.
        MissingDependencyError: h5py is not installed.
    """
    h5py = require("h5py", "reading Spring's dsp5 and flo5 files")
    read_bytes(path)  # h5py's messages name neither a missing file nor an empty one
    try:
        with h5py.File(path, "r") as file:
            if name not in file:
                raise DataError(f"{path} has no {name!r}, but {', '.join(map(repr, file)) or 'nothing'}")
            return np.asarray(file[name], dtype=np.float32)
    except OSError as error:
        raise DataError(f"{path} cannot be read as HDF5 ({str(error).splitlines()[0]})") from None


def write_hdf5(path: str | Path, name: str, values: np.ndarray) -> None:
    """Write one data set into an HDF5 file, whole or not at all."""
    h5py = require("h5py", "writing dsp5 and flo5 files")
    with atomic_write(path) as place, h5py.File(place, "w") as file:
        file.create_dataset(name, data=np.asarray(values, dtype=np.float32), compression="gzip")
