"""Feature volumes that the official code saved: read as data, never run, and brought to a volume's axes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.features.keys import PARTS

SPARE = 1.5  # cells that an axis may be off the common ratio: official sizes are rounded down


def read_official_cache(path: str | os.PathLike, part: str = "k") -> Tensor:
    """Features that the official code saved: a dict with ``k`` (``q``, ``v``) as ``.npy`` pickle or ``.pt``.

    A pickle is read as plain data and never run; a plain array is taken as it is.

    Args:
        path: ``.npy``, ``.pt`` or ``.pth``.
        part: ``"k"``, ``"q"`` or ``"v"``.

    Returns:
        (F, W', H', D'), or (M, F, W', H', D') of several modalities, float32, not normalised.

    Raises:
        DataError: the file is missing, damaged, unsafe, or holds no such array.
    """
    path = Path(path)
    if part not in PARTS:
        raise DataError(f"part={part!r} of a feature cache: use one of {', '.join(PARTS)}")
    if not path.is_file():
        raise DataError(f"the feature cache {path} does not exist; name the file that infer.py wrote")
    if path.suffix in (".pt", ".pth"):
        from dense3d.engine.checkpoint import read

        # the official code saves a defaultdict; here it becomes a plain dict
        with torch.serialization.safe_globals([(_plain_dict, "collections.defaultdict"), float]):
            data = read(path, "cpu", True)
    elif path.suffix == ".npy":
        data = _read_npy(path)
    else:
        raise DataError(f"{path}: official feature caches end in .npy or .pt")
    if isinstance(data, dict):
        if part not in data:
            raise DataError(
                f"{path} has no {part!r} but {', '.join(map(repr, data))}: say which part to take"
            )
        data = data[part]
    if not isinstance(data, (np.ndarray, Tensor)) or data.ndim not in (4, 5):
        raise DataError(f"{path} holds no array of features (F, W, H, D); compute it again")
    return torch.as_tensor(data).float()


def _plain_dict(_factory: type) -> dict:
    return {}


def _read_npy(path: Path) -> object:
    from dense3d.pickles import load_plain

    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
            _, _, dtype = header(file)
        except (ValueError, AttributeError, EOFError) as error:
            raise DataError(f"{path} is damaged or no .npy file ({error}); copy it again") from None
        if not dtype.hasobject:
            file.seek(0)
            try:
                return np.load(file, allow_pickle=False)
            except (ValueError, EOFError, OSError) as error:
                raise DataError(f"{path} is damaged ({error}); copy it again") from None
        array = load_plain(file, str(path))
    return array.item() if isinstance(array, np.ndarray) and array.ndim == 0 else array


def official_features(path: str | os.PathLike, volume: Volume, part: str = "k") -> Tensor:
    """Features (F, W', H', D') of an official cache along the axes of a volume of the same file.

    Args:
        path: see :func:`read_official_cache`; its axes are those of the volume's file.
        volume: at any resolution.
        part: ``"k"``, ``"q"`` or ``"v"``.

    Raises:
        DataError: see :func:`read_official_cache`; or the cells do not fit the volume, or are of several
            modalities.
    """
    features = read_official_cache(path, part)
    if features.ndim == 5 and len(features) > 1:
        raise DataError(f"{path} has features of {len(features)} modalities: save those of one by themselves")
    features = features.reshape(features.shape[-4:]).movedim(0, -1).numpy()
    features = np.moveaxis(volume.order.apply(features), -1, 0)
    cells, shape = np.array(features.shape[1:]), np.array(volume.full_shape)
    if (np.abs(cells - shape * np.median(cells / shape)) > SPARE).any():
        raise DataError(
            f"{path} has {' x '.join(map(str, cells))} cells, which do not fit a volume of "
            f"{' x '.join(map(str, shape))} voxels: is it of another volume?"
        )
    return torch.from_numpy(np.ascontiguousarray(features))
