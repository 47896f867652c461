"""Points in NumPy's ``.npy`` and ``.npz``, in HDF5, and in folders of ``coord.npy``, ``color.npy`` ..."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.errors import DataError, Dense3dError
from dense3d.optional import require
from dense3d.structures.cloud_files.columns import header_columns, table_attributes
from dense3d.structures.cloud_files.notes import say
from dense3d.structures.cloud_files.rows import parts_of, sample_rows

# Names of arrays in npz and HDF5 files and in folders, the likeliest first.
NAMES = {
    "points": ("points", "coord", "coords", "xyz", "pc", "point_cloud", "data", "arr_0"),
    "colors": ("colors", "color", "rgb"),
    "normals": ("normals", "normal"),
    "labels": ("labels", "segment20", "segment", "semantic_gt20", "semantic_gt", "seg", "pid"),
    "intensity": ("intensity", "strength"),
}
Attributes = dict[str, np.ndarray]
# What NumPy, zipfile and h5py raise for files that are damaged.
DAMAGE = (
    ValueError, EOFError, OSError, KeyError, TypeError, SyntaxError, RuntimeError, MemoryError, OverflowError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_npy(
    path: Path, columns: Sequence[str] | None, most: int | None, seed: int
) -> tuple[Attributes, int]:
    """Attributes of a table (N, C), which is read from the disk part by part; pickles are never loaded.

    Raises:
        DataError: the file is damaged or holds no table of numbers.
    """
    table = load_npy(path)
    return sampled_table(table, columns, path, most, seed)


def load_npy(path: Path, mapped: bool = True) -> np.ndarray:
    """An array of numbers, mapped from the disk.

    Raises:
        DataError: the file is missing or damaged, holds objects, or is an archive of arrays.
    """
    try:
        found = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except DAMAGE as error:
        raise DataError(f"{path} cannot be read as an array ({_first_line(error)})") from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise DataError(f"{path} is an archive of arrays: save one of them with numpy.save")
    return found


def read_npz(
    path: Path, columns: Sequence[str] | None, most: int | None, seed: int, index: int
) -> tuple[Attributes, int]:
    """Attributes of the arrays of an archive, by their usual names.

    Raises:
        DataError: the file is damaged, or none of its arrays has a usual name.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            found = _by_name(names, path)
            arrays = {attribute: archive[name] for attribute, name in found.items()}
    except DAMAGE as error:
        if isinstance(error, Dense3dError):
            raise
        raise DataError(f"{path} cannot be read as npz ({_first_line(error)})") from None
    return _of_arrays(arrays, columns, path, most, seed, index)


def read_h5(
    path: Path, columns: Sequence[str] | None, most: int | None, seed: int, index: int | None
) -> tuple[Attributes, int]:
    """Attributes of the arrays of an HDF5 file, by their usual names; of many clouds, the one at ``index``.

    Raises:
        DataError: the file is damaged, none of its arrays has a usual name, or there is no such cloud.
        MissingDependencyError: h5py is not installed.
    """
    h5py = require("h5py", "reading HDF5 files")
    try:
        with h5py.File(path, "r") as file:
            arrays = {attribute: file[name] for attribute, name in _by_name(list(file), path).items()}
            return _of_arrays(arrays, columns, path, most, seed, index)
    except DAMAGE as error:
        if isinstance(error, Dense3dError):
            raise
        raise DataError(f"{path} cannot be read as HDF5 ({_first_line(error)})") from None


def read_folder(path: Path, most: int | None, seed: int) -> tuple[Attributes, int]:
    """Attributes of a folder of npy files, ``coord``, ``color``, ``normal``, ``segment20`` ... (Pointcept's).

    Raises:
        DataError: there is no ``coord.npy``, or the files differ in length.
    """
    names = sorted(file.stem for file in path.glob("*.npy"))
    if "coord" not in names:
        raise DataError(f"{path} is a folder without coord.npy: name a file, or a folder of npy files")
    arrays = {kind: load_npy(path / f"{name}.npy") for kind, name in _by_name(names, path).items()}
    return _of_arrays(arrays, None, path, most, seed, None)


def sampled_table(
    table: Any, columns: Sequence[str] | None, path: Path, most: int | None, seed: int
) -> tuple[Attributes, int]:
    """Attributes of a table (N, C) that is read part by part, and how many rows it has.

    Raises:
        DataError: it is no table of numbers.
    """
    if table.dtype.names:
        columns, table = _named_fields(table, path)
    if table.ndim != 2 or table.dtype.kind not in "iuf":
        raise DataError(f"{path} holds {table.dtype} of shape {table.shape}; points are numbers (N, C)")
    rows, count = sample_rows(({"row": part} for part in parts_of(table)), most, seed)
    if not count:
        raise DataError(f"{path} holds no point; make or copy it again")
    return dict(table_attributes(rows["row"], columns, path)), count


def _named_fields(table: np.ndarray, path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    columns = header_columns(table.dtype.names)
    if columns is None:
        raise DataError(f"{path} has the fields {', '.join(table.dtype.names)}, and not x, y and z")
    return columns, np.stack([np.asarray(table[name], np.float64) for name in table.dtype.names], axis=-1)


def _by_name(names: list[str], path: Path) -> dict[str, str]:
    """The array for each attribute of a cloud."""
    lower = {name.lower(): name for name in names}
    found = {
        attribute: lower[next(name for name in usual if name in lower)]
        for attribute, usual in NAMES.items()
        if any(name in lower for name in usual)
    }
    if "points" not in found and len(names) == 1:
        found["points"] = names[0]
    if "points" not in found:
        listed = ", ".join(names[:8]) or "nothing"
        raise DataError(f"{path}: which array holds the points? It has {listed}; name it 'points'")
    return found


def _of_arrays(
    arrays: Mapping[str, Any],
    columns: Sequence[str] | None,
    path: Path,
    most: int | None,
    seed: int,
    index: int | None,
) -> tuple[Attributes, int]:
    points = arrays["points"]
    if points.ndim == 3:
        arrays, points = _one_cloud(arrays, path, index)
    extra = {name: values for name, values in arrays.items() if name != "points"}
    extra = {name: _column(values) for name, values in extra.items() if len(values) == len(points)}
    for name in set(arrays) - set(extra) - {"points"}:
        say(f"{path}: {name} of shape {arrays[name].shape} do not go with its {len(points)} points; left out")
    if not extra:
        return sampled_table(points, columns, path, most, seed)
    if points.ndim != 2 or points.shape[1] < 3 or not len(points):
        raise DataError(f"{path}: its points have the shape {points.shape}, and not (N, 3)")
    rows, count = sample_rows(_together(points, extra), most, seed)
    table = rows.pop("points")
    if table.shape[1] == 3:
        return {"points": table, **rows}, count
    return {**table_attributes(table, columns, path), **rows}, count


def _together(points: Any, extra: Mapping[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    everything = {"points": points, **extra}
    for parts in zip(*(parts_of(values) for values in everything.values())):
        yield dict(zip(everything, parts))


def _one_cloud(arrays: Mapping[str, Any], path: Path, index: int | None) -> tuple[dict[str, Any], Any]:
    """One of the clouds of a file; what has no entry for each of its points stays out."""
    many, each = arrays["points"].shape[:2]
    if index is None and many > 1:
        say(f"{path} holds {many} clouds; the first is read: say index=... for another")
    index = index or 0
    if not -many <= index < many:
        raise DataError(f"{path} holds {many} clouds; there is none at index {index}")
    chosen = {
        name: values[index] for name, values in arrays.items() if tuple(values.shape[:2]) == (many, each)
    }
    return chosen, chosen["points"]


def _first_line(error: BaseException) -> str:
    text = (str(error) or type(error).__name__).splitlines()[0][:120]
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _column(values: Any) -> Any:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
