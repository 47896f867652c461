"""One function for every file that holds points."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.files import is_file, is_folder
from dense3d.structures.cloud_files.columns import parse_columns
from dense3d.structures.cloud_files.judging import judged_cloud
from dense3d.structures.cloud_files.notes import say
from dense3d.structures.point_cloud import PointCloud

TEXT_SUFFIXES = (".xyz", ".txt", ".csv", ".asc", ".pts", ".xyzrgb", ".xyzn")
MESH_SUFFIXES = (".obj", ".off", ".stl")
H5_SUFFIXES = (".h5", ".hdf5")
CLOUD_SUFFIXES = (
    ".ply", ".pcd", *TEXT_SUFFIXES, ".npy", ".npz", *H5_SUFFIXES, ".bin", ".las", ".laz", ".e57",
    *MESH_SUFFIXES,
)  # fmt: skip
MAX_POINTS = 4_000_000
MESH_POINTS = 8192


def read_cloud(
    path: str | os.PathLike,
    columns: str | int | Sequence[str] | None = None,
    color_max: float | None = None,
    up_axis: str | None = None,
    max_points: int | None = MAX_POINTS,
    mesh_points: int | None = None,
    index: int | None = None,
    seed: int = 0,
) -> PointCloud:
    """Read a cloud from a file of any of the usual kinds, or from a folder of npy files.

    The suffix says what the file is: ``.ply``, ``.pcd``, text (``.xyz``, ``.txt``, ``.csv``, ``.asc``,
    ``.pts``), ``.npy``, ``.npz``, ``.h5``, ``.bin`` (float32), ``.las``, ``.laz``, ``.e57``, or a mesh, whose
    surface is sampled (``.obj``, ``.off``, ``.stl``; ``.ply`` if ``mesh_points`` is given, else its vertices
    are the points).
    What is decided by the data (columns, range of colours), what is dropped (points that are not finite) and
    what is thinned out is said through mmengine's logger.

    Args:
        path: file, or folder with ``coord.npy``.
        columns: what the columns of text, npy, npz, h5 and bin files are, as in ``"x y z r g b label"``;
            ``-`` skips one. None takes a header's names, or tells them by the data.
        color_max: what stands for full colour, as 1, 255 or 65535; None tells it by the data.
        up_axis: the axis that points up in the file, turned to z; None takes z, and says so where the shape
            speaks for y.
        max_points: a larger cloud is thinned out at random to so many while it is read; None reads all.
        mesh_points: how many points are sampled from a mesh, 8192 unless given.
        index: which cloud of an h5 or npz file that holds several.
        seed: of the random choices.

    Returns:
        At least one point; coordinates are as in the file but for ``up_axis`` and the cloud's ``origin``.

    Raises:
        DataError: the file is missing, empty, damaged, or no cloud.
        ConfigError: an argument is out of range.
        MissingDependencyError: the package that reads this kind is not installed.
    """
    path = Path(path)
    if max_points is not None and max_points < 1:
        raise ConfigError(f"max_points={max_points}: at least one point must stay; None reads all")
    if mesh_points is not None and mesh_points < 1:
        raise ConfigError(f"mesh_points={mesh_points}: at least one point is sampled")
    names = parse_columns(columns, path)
    found, count = _read(path, names, max_points, mesh_points, index, seed)
    if found and len(found["points"]) < count:
        say(
            f"{path}: {len(found['points'])} of its {count} points are kept, chosen at random; see max_points"
        )
    return judged_cloud(found, path, color_max, up_axis)


def _read(
    path: Path,
    columns: tuple[str, ...] | None,
    most: int | None,
    mesh_points: int | None,
    index: int | None,
    seed: int,
) -> tuple[dict[str, np.ndarray], int]:
    # Readers bring libraries along: only the one that is needed is imported.
    from dense3d.structures.cloud_files import arrays

    suffix = path.suffix.lower()
    if is_folder(path):
        return arrays.read_folder(path, most, seed)
    _check_file(path, suffix)
    if suffix in MESH_SUFFIXES or (suffix == ".ply" and mesh_points is not None):
        from dense3d.structures.cloud_files.meshes import read_mesh, sample_mesh

        points = mesh_points or MESH_POINTS
        return sample_mesh(read_mesh(path), points, seed, path), points
    if suffix == ".ply":
        from dense3d.structures.cloud_files.ply import read_ply

        return read_ply(path, most, seed)
    if suffix == ".pcd":
        from dense3d.structures.cloud_files.pcd import read_pcd

        return read_pcd(path, most, seed)
    if suffix in (".las", ".laz", ".e57"):
        from dense3d.structures.cloud_files.survey import read_e57, read_las

        return (read_e57 if suffix == ".e57" else read_las)(path, most, seed)
    if suffix == ".npy":
        return arrays.read_npy(path, columns, most, seed)
    if suffix == ".npz":
        return arrays.read_npz(path, columns, most, seed, index)
    if suffix in H5_SUFFIXES:
        return arrays.read_h5(path, columns, most, seed, index)
    if suffix == ".bin":
        from dense3d.structures.cloud_files.flat import read_flat

        return read_flat(path, columns, most, seed)
    from dense3d.structures.cloud_files.text import read_text

    return read_text(path, columns, most, seed)


def _check_file(path: Path, suffix: str) -> None:
    if not is_file(path):
        raise DataError(f"{path}: there is no such file; correct the path")
    if suffix not in CLOUD_SUFFIXES:
        hint = did_you_mean(suffix, CLOUD_SUFFIXES) if suffix else ""
        raise DataError(
            f"{path}: the suffix {suffix!r} is of no kind of cloud that is read{hint}; those are "
            f"{', '.join(CLOUD_SUFFIXES)}"
        )
    if not path.stat().st_size:
        raise DataError(f"{path} is empty; make or copy it again")
