"""Files of laser surveys: las and laz by laspy (laz with lazrs), e57 by pye57."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.errors import DataError, Dense3dError
from dense3d.optional import require
from dense3d.structures.cloud_files.notes import say
from dense3d.structures.cloud_files.rows import CHUNK, sample_rows
from dense3d.structures.point_cloud import PointCloud

MILLIMETRE = 0.001  # step of the coordinates that are written
WORD = 65535
CLASSES = 256


def read_las(path: Path, most: int | None, seed: int) -> tuple[dict[str, np.ndarray], int]:
    """Attributes of a las or laz file, read part by part: classification gives the labels.

    Raises:
        DataError: the file is damaged.
        MissingDependencyError: laspy, or lazrs for laz, is not installed.
    """
    laspy = require("laspy", "reading las and laz files")
    if path.suffix.lower() == ".laz":
        require("lazrs", "reading laz files")
    try:
        with laspy.open(str(path)) as reader:
            names = set(reader.header.point_format.dimension_names)
            return sample_rows((_las_part(part, names) for part in reader.chunk_iterator(CHUNK)), most, seed)
    except (Dense3dError, MemoryError):
        raise
    except Exception as error:  # laspy and lazrs raise errors of many kinds for damaged files
        text = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise DataError(f"{path} cannot be read as las ({text}); make or copy it again") from None


def _las_part(part: Any, names: set[str]) -> dict[str, np.ndarray]:
    found = {"points": np.stack([np.asarray(part.x), np.asarray(part.y), np.asarray(part.z)], axis=1)}
    if {"red", "green", "blue"} <= names:
        colors = np.stack([np.asarray(part.red), np.asarray(part.green), np.asarray(part.blue)], axis=1)
        found["colors"] = colors
    if "classification" in names:
        found["labels"] = np.asarray(part.classification).astype(np.int64)
    if "intensity" in names:
        found["intensity"] = np.asarray(part.intensity)
    return found


def write_las(cloud: PointCloud, path: Path) -> None:
    """Write a las or laz file with coordinates to the millimetre; normals have no place in it.

    Raises:
        DataError: a label is no class of las, which are 0 to 255.
    """
    laspy = require("laspy", "writing las and laz files")
    if path.suffix.lower() == ".laz":
        require("lazrs", "writing laz files")
    header = laspy.LasHeader(point_format=6 if cloud.colors is None else 7, version="1.4")
    places = cloud.points.astype(np.float64) + cloud.origin
    header.offsets = np.floor(places.min(axis=0)) if len(cloud) else np.zeros(3)
    header.scales = np.full(3, MILLIMETRE)
    las = laspy.LasData(header)
    las.x, las.y, las.z = places.T
    if cloud.colors is not None:
        las.red, las.green, las.blue = np.rint(np.clip(cloud.colors, 0, 1) * WORD).astype(np.uint16).T
    if cloud.labels is not None:
        if len(cloud) and (cloud.labels.min() < 0 or cloud.labels.max() >= CLASSES):
            raise DataError(f"{path}: las holds classes 0 to {CLASSES - 1}; write ply to keep other labels")
        las.classification = cloud.labels.astype(np.uint8)
    if cloud.intensity is not None:
        las.intensity = _words(cloud.intensity, path)
    if cloud.normals is not None:
        say(f"{path}: las has no place for normals, which are not written; ply has")
    las.write(str(path))


def read_e57(path: Path, most: int | None, seed: int) -> tuple[dict[str, np.ndarray], int]:
    """Attributes of all scans of an e57 file, moved to their common frame.

    Raises:
        DataError: the file is damaged or has no scan.
        MissingDependencyError: pye57 is not installed.
    """
    pye57 = require("pye57", "reading e57 files")
    try:
        file = pye57.E57(str(path))
        try:
            return sample_rows(_scans(file), most, seed)
        finally:
            file.close()
    except (Dense3dError, MemoryError):
        raise
    except Exception as error:  # the library underneath raises errors of its own kind
        text = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise DataError(f"{path} cannot be read as e57 ({text}); make or copy it again") from None


def _scans(file: Any) -> Iterator[dict[str, np.ndarray]]:
    fields = [set(file.get_header(index).point_fields) for index in range(file.scan_count)]
    shared = set.intersection(*fields) if fields else set()
    for index in range(file.scan_count):  # one after the other, since all together may not fit into memory
        scan = file.read_scan(index, colors=True, intensity=True, ignore_missing_fields=True)
        found = {"points": np.stack([scan[f"cartesian{axis}"] for axis in "XYZ"], axis=1)}
        if {"colorRed", "colorGreen", "colorBlue"} <= shared:
            found["colors"] = np.stack([scan[f"color{name}"] for name in ("Red", "Green", "Blue")], axis=1)
        if "intensity" in shared:
            found["intensity"] = np.asarray(scan["intensity"])
        yield found


def _words(values: np.ndarray, path: Path) -> np.ndarray:
    """Intensities as the 16-bit numbers of las."""
    if len(values) and float(values.max()) <= 1:
        values = values * WORD
    if len(values) and (values.min() < 0 or values.max() > WORD):
        raise DataError(f"{path}: las holds intensities 0 to {WORD}; write ply to keep others")
    return np.rint(values).astype(np.uint16)
