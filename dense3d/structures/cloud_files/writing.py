"""One function that writes a cloud into a file of any of the usual kinds, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.files import is_disk_full
from dense3d.optional import require
from dense3d.structures.cloud_files.columns import GROUPS
from dense3d.structures.cloud_files.notes import say
from dense3d.structures.point_cloud import PointCloud

TEXT = {".xyz": " ", ".txt": " ", ".asc": " ", ".csv": ","}
WRITTEN = (".ply", ".pcd", *TEXT, ".npy", ".npz", ".h5", ".bin", ".las", ".laz")
FORMATS = {"points": "%.9g", "colors": "%.6g", "normals": "%.7g", "labels": "%d", "intensity": "%.9g"}


def write_cloud(cloud: PointCloud, path: str | os.PathLike) -> Path:
    """Write a cloud with all its attributes, in the kind of file that the suffix says.

    ``.ply``, ``.pcd``, ``.npz`` and ``.h5`` name their attributes; text has a first line of names; the
    columns of ``.npy`` and ``.bin`` are x y z, r g b, nx ny nz, label, intensity, as far as the cloud has
    them.
    Colours are bytes in ply and pcd, 16 bits in las and 0..1 elsewhere. The cloud's origin is added again to
    the coordinates where the file has float64: in all kinds but ``.pcd`` and ``.bin``.

    Args:
        cloud: with at least one point.
        path: file to create or replace; its folder is made if needed.

    Returns:
        The path.

    Raises:
        DataError: there is no point, a kind that is not written, or one that cannot hold the cloud.
        MissingDependencyError: the package that writes this kind is not installed.

    Example:
        >>> folder = tempfile.mkdtemp()
        >>> file = write_cloud(PointCloud([[1.0, 2.0, 3.0]], labels=[7]), f"{folder}/one.xyz")
        >>> file.read_text().splitlines()
        ['# x y z label', '1 2 3 7']
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in WRITTEN:
        raise DataError(f"{path}: a cloud is written as {', '.join(WRITTEN)}; choose one of these suffixes")
    if not len(cloud):
        raise DataError(f"{path}: the cloud has no point, so there is nothing to be written")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem[:40]}.") as folder:
            part = Path(folder) / path.name
            _write(cloud, part, suffix, path)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
    except OSError as error:
        if is_disk_full(error):
            raise DataError(f"no space is left on the disk for {path}: nothing was written") from error
        raise
    return path


def _write(cloud: PointCloud, part: Path, suffix: str, path: Path) -> None:
    if suffix in (".ply", ".pcd"):
        from dense3d.structures.cloud_files.open3d_files import write_with_open3d

        if suffix == ".pcd":
            _say_origin(cloud, path)
        write_with_open3d(cloud, part)
    elif suffix in (".las", ".laz"):
        from dense3d.structures.cloud_files.survey import write_las

        write_las(cloud, part)
    elif suffix in TEXT:
        _write_text(cloud, part, TEXT[suffix])
    elif suffix == ".npz":
        np.savez(part, **_arrays(cloud))
    elif suffix == ".h5":
        with require("h5py", "writing HDF5 files").File(part, "w") as file:
            for name, values in _arrays(cloud).items():
                file.create_dataset(name, data=values)
    elif suffix == ".npy":
        np.save(part, _table(_arrays(cloud)))
    else:
        _say_origin(cloud, path)
        _table({"points": cloud.points, **cloud.attributes}).astype("<f4").tofile(part)


def _arrays(cloud: PointCloud) -> dict[str, np.ndarray]:
    points = cloud.points.astype(np.float64) + cloud.origin if any(cloud.origin) else cloud.points
    return {"points": points, **cloud.attributes}


def _table(arrays: dict[str, np.ndarray]) -> np.ndarray:
    ordered = [arrays[name].reshape(len(arrays["points"]), -1) for name in GROUPS if name in arrays]
    dtype = np.float64 if arrays["points"].dtype == np.float64 or "labels" in arrays else np.float32
    return np.concatenate([values.astype(dtype) for values in ordered], axis=1)


def _write_text(cloud: PointCloud, part: Path, delimiter: str) -> None:
    arrays = _arrays(cloud)
    names = [column for name, group in GROUPS.items() if name in arrays for column in group]
    digits = {**FORMATS, "points": "%.12g"} if any(cloud.origin) else FORMATS
    formats = [digits[name] for name, group in GROUPS.items() if name in arrays for _ in group]
    header = delimiter.join(names)
    comments = "" if delimiter == "," else "# "
    np.savetxt(part, _table(arrays), fmt=formats, delimiter=delimiter, header=header, comments=comments)


def _say_origin(cloud: PointCloud, path: Path) -> None:
    if any(cloud.origin):
        say(f"{path} holds float32 only, so the origin {list(cloud.origin)} is not added to its coordinates")
