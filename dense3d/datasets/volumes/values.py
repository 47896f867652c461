"""Stored samples to values: scaling, colours, odd types, and samples that are no numbers."""

from __future__ import annotations

import numpy as np

from dense3d.datasets.volumes.header import VolumeHeader
from dense3d.errors import DataError

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def value_dtype(header: VolumeHeader) -> np.dtype:
    """The type of the values that a person works with, in the machine's byte order.

    Raises:
        DataError: the samples are complex, or no numbers.
    """
    stored = header.dtype
    if stored.names and set("RGB") <= set(stored.names):
        return np.dtype(np.uint8)
    if stored.kind == "c":
        raise DataError(f"{header.path}: its samples are complex numbers; save their magnitude as a volume")
    if stored.kind not in "biuf":
        raise DataError(
            f"{header.path}: its samples of type {stored} are no numbers; save it as 16-bit integers"
        )
    if stored.kind == "b":
        stored = np.dtype(np.uint8)
    if (header.slope, header.intercept) == (1, 0):
        if stored.kind == "f":
            return np.dtype(np.float32 if stored.itemsize <= 4 else np.float64)
        return stored.newbyteorder("=")
    if stored.kind in "iu" and float(header.slope).is_integer() and float(header.intercept).is_integer():
        limits = np.iinfo(stored)
        ends = [int(header.slope) * limit + int(header.intercept) for limit in (limits.min, limits.max)]
        for integer in (np.uint8, np.int16, np.uint16, np.int32):
            if np.iinfo(integer).min <= min(ends) and max(ends) <= np.iinfo(integer).max:
                return np.dtype(integer)
    return np.dtype(np.float32 if stored.itemsize <= 2 or stored == np.float32 else np.float64)


def scaled(samples: np.ndarray, header: VolumeHeader, dtype: np.dtype) -> np.ndarray:
    """Values of stored samples.

    Args:
        samples: as stored.
        header: with slope and intercept.
        dtype: :func:`value_dtype` of it.
    """
    if samples.dtype.names:
        channels = [samples[name].astype(np.float32) * weight for name, weight in zip("RGB", LUMA)]
        return np.rint(sum(channels)).astype(np.uint8)
    if (header.slope, header.intercept) == (1, 0):
        return samples.astype(dtype, copy=False)
    wide = np.int64 if dtype.kind in "iu" else np.float64
    if dtype == np.float32 or dtype.itemsize <= 2:
        wide = np.int32 if dtype.kind in "iu" else np.float32
    values = samples.astype(wide)
    with np.errstate(over="ignore", invalid="ignore"):
        values *= wide(header.slope)
        values += wide(header.intercept)
    return values.astype(dtype, copy=False)


def narrowed(values: np.ndarray) -> np.ndarray:
    """64-bit integers as int32, or as float64 where they do not fit; all else as it is."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return values
    limits = np.iinfo(np.int32)
    fits = values.min() >= limits.min and values.max() <= limits.max
    return values.astype(np.int32 if fits else np.float64)
