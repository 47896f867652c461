"""Files of radiance grids: the ``.npz`` of the released layout, with what it does not tell."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write
from dense3d.structures.cloud_files.arrays import DAMAGE
from dense3d.structures.radiance_grid import DELTA, DENSITY_KINDS, RadianceGrid

KEY = "rgbsigma"
# float32 values, a copy of them and their masks, of a grid while it is read and converted
BYTES_A_VOXEL = 4 * 4 * 2 + 8
MOST_BYTES = 16 * 1024**3


def read_grid(
    path: str | os.PathLike,
    density_kind: str | None = None,
    delta: float | None = None,
    most_bytes: int = MOST_BYTES,
    usual_kind: str | None = None,
) -> RadianceGrid:
    """Read a grid.

    Args:
        path: a ``.npz`` with ``rgbsigma`` ``(W, L, H, 4)`` and, where boxes are to be taken back to the
            world, ``bbox_min`` and ``bbox_max``.
        density_kind: of files that do not tell, as the released ones: see :class:`RadianceGrid`. Grids of
            Front3D-NeRF and HM3D are ``"raw_exp"``, of ScanNet ``"relu"``, of Hypersim ``"alpha"``.
        delta: of files that do not tell; 0.01 unless given.
        most_bytes: memory that reading may need.
        usual_kind: of a data set, for files that do not tell where ``density_kind`` is not given; grids of 8
            bits hold opacity all the same.

    Raises:
        DataError: the file is none of these, contradicts the arguments or itself, is too large, or nobody
            says what its density is; or it looks like opacity and is said to be raw by others than itself.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(archive, path, most_bytes)
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no radiance grid {path}") from None
    except DAMAGE as error:
        raise _unreadable(path, error) from None
    kind = _settled("density_kind", density_kind, found, path)
    if kind is None:
        kind = "alpha" if usual_kind and found[KEY].dtype == np.uint8 else usual_kind
    if kind is None:
        raise DataError(
            f"{path} does not say what its density is: give density_kind, one of "
            f"{', '.join(map(repr, DENSITY_KINDS))} (Front3D-NeRF and HM3D 'raw_exp', ScanNet 'relu', "
            "Hypersim 'alpha')"
        )
    step = _settled("delta", delta, found, path)
    try:
        grid = RadianceGrid(
            found[KEY],
            found.get("bbox_min"),
            found.get("bbox_max"),
            str(kind),
            DELTA if step is None else float(step),
            float(found.get("scale", 1.0)),
            found.get("offset"),
            bool(found.get("from_mitsuba", False)),
            str(path),
        )
        _check_resolution(grid, found, path)
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} holds something else than a grid's box and scale ({error})") from None
    if kind == "raw_exp" and "density_kind" not in found:
        _check_raw(grid.density, path)
    return grid


def write_grid(grid: RadianceGrid, path: str | os.PathLike, compressed: bool = False) -> None:
    """Write a grid of 8 bits or of float32; the file appears whole or not at all.

    Args:
        grid: what to write.
        path: ends in ``.npz``.
        compressed: takes longer, and is smaller where much is empty.

    Raises:
        DataError: another ending, which NumPy's readers would not find.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise DataError(f"{path}: a radiance grid is written to a file that ends in .npz")
    values = grid.rgbsigma if grid.rgbsigma.dtype == np.uint8 else grid.rgbsigma.astype(np.float32)
    with atomic_write(path) as file:
        (np.savez_compressed if compressed else np.savez)(
            file,
            rgbsigma=values,
            resolution=np.array(grid.resolution),
            bbox_min=grid.bbox_min,
            bbox_max=grid.bbox_max,
            scale=np.array(grid.scale),
            offset=grid.offset,
            from_mitsuba=np.array(grid.from_mitsuba),
            density_kind=np.array(grid.density_kind),
            delta=np.array(grid.delta),
        )


def grid_shape(path: str | os.PathLike) -> tuple[int, ...]:
    """Shape of a file's ``rgbsigma``, without reading its numbers.

    Raises:
        DataError: there is no such file or array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _header(archive, Path(path))[0]
    except FileNotFoundError:
        raise DataError(f"there is no radiance grid {path}") from None
    except DataError:
        raise
    except DAMAGE as error:
        raise _unreadable(path, error) from None


def memory_estimate(shape: tuple[int, ...]) -> int:
    """Bytes that reading and converting a grid of ``(W, L, H, ...)`` takes.

    Example:
        >>> memory_estimate((160, 160, 160)) // 2**20
        156
    """
    return math.prod(shape[:3]) * BYTES_A_VOXEL


def _header(archive: zipfile.ZipFile, path: Path) -> tuple[tuple[int, ...], np.dtype]:
    if f"{KEY}.npy" not in archive.namelist():
        names = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:8])
        raise DataError(
            f"{path} holds no array {KEY!r}, so it is no radiance grid; it has {names or 'nothing'}"
        )
    with archive.open(f"{KEY}.npy") as member:
        version, formats = np.lib.format.read_magic(member), np.lib.format
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise DataError(f"{path}: {KEY} is of version {version} of npy, which is unknown; save it again")
        # the third is the second with names in UTF-8, and numbers have no names
        read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
        shape, _, dtype = read(member)
    return shape, dtype


def _unreadable(path: str | os.PathLike, error: Exception) -> DataError:
    words = (str(error) or type(error).__name__).splitlines()[0][:120]
    return DataError(f"{path} cannot be read as a radiance grid ({words}); copy or extract it again")


def _check_size(archive: zipfile.ZipFile, path: Path, most_bytes: int) -> None:
    shape, _ = _header(archive, path)
    needed = memory_estimate(shape)
    if len(shape) == 4 and needed > most_bytes:
        side = int((most_bytes / BYTES_A_VOXEL) ** (1 / 3))
        raise DataError(
            f"{path} has {' x '.join(map(str, shape[:3]))} voxels, and reading them takes about "
            f"{needed / 2**30:.1f} GiB, above the limit of {most_bytes / 2**30:.1f} GiB; extract it with a "
            f"longest side of at most {side}, or raise most_bytes"
        )


def _settled(name: str, given, found: Mapping, path: Path):
    """What the file says, or else the caller; None where neither does."""
    stored = found.get(name)
    if stored is not None and stored.size != 1:
        raise DataError(f"{path}: {name} is one value, not an array {stored.shape}; extract the grid again")
    stored = None if stored is None else stored.item()
    if stored is None or given is None:
        return given if stored is None else stored
    if stored != given:
        raise DataError(
            f"{path} says {name}={stored!r}, but {given!r} is asked for; what the file says of itself holds: "
            f"leave {name} out"
        )
    return stored


def _check_raw(density: np.ndarray, path: Path) -> None:
    """Refuse what cannot be meant: raw densities of a scene are far below 0 where it is empty."""
    if density.min() >= 0 and 0 < density.max() <= 1:
        raise DataError(
            f"{path}: all of its densities are in [0, 1], as opacity is, and converting them once more would "
            f"ruin the grid: write what they are, RadianceGrid.load({str(path)!r}, 'alpha').save(...)"
        )


def _check_resolution(grid: RadianceGrid, found: Mapping, path: Path) -> None:
    stated = found.get("resolution")
    if stated is not None and tuple(np.asarray(stated).reshape(-1).astype(int)) != grid.resolution:
        raise DataError(
            f"{path}: resolution {np.asarray(stated).tolist()} does not fit its {grid.resolution} voxels; "
            "extract the grid again"
        )
