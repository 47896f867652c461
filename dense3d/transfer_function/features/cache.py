"""Feature volumes on disk: found by what they were computed from, written whole, gone on with.

The file name is a hash of voxels, weights and settings.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dense3d.files import atomic_write
from dense3d.transfer_function.features.extraction import Extraction, PartialFeatures
from dense3d.transfer_function.features.keys import KeyNetwork
from dense3d.transfer_function.features.pooling import AxisPool

FORMAT = 1  # of the files; another number makes other names


def cache_folder() -> Path:
    """``dense3d/features`` in the user's cache folder: where feature volumes are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(root) / "dense3d" / "features"


def array_hash(arrays: Iterable[np.ndarray]) -> str:
    """Hash of shapes, types and contents."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        for part in array if array.ndim > 1 else [array]:
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def network_hash(network: KeyNetwork) -> str:
    """Hash of weights and structure."""
    state = network.network.state_dict()
    words = f"{network.part} {getattr(network.network, 'arch', None)!r} {sorted(state)}".encode()
    weights = (np.atleast_1d(state[name].detach().float().cpu().numpy()) for name in sorted(state))
    return hashlib.blake2b(words + array_hash(weights).encode(), digest_size=16).hexdigest()


class FeatureFile:
    """The place of one feature volume, finished or not.

    Args:
        extraction: what computes it.
        folder: :func:`cache_folder` unless given.
    """

    def __init__(self, extraction: Extraction, folder: str | os.PathLike | None = None) -> None:
        settings = json.dumps(asdict(extraction.settings), sort_keys=True)
        words = [FORMAT, settings, extraction.cells, network_hash(extraction.network)]
        words.append(array_hash([extraction.values]))
        name = hashlib.blake2b(repr(words).encode(), digest_size=16).hexdigest()
        self.extraction = extraction
        self.path = Path(folder or cache_folder()) / f"{name}.npz"
        self.partial = self.path.with_suffix(".part.npz")

    def read(self) -> Tensor | None:
        """The finished features (F, W', H', D') float16, or None where there are none that can be read."""
        arrays = _arrays(self.path, ("features",))
        expected = self.extraction.state.merged.shape
        if arrays is None or arrays["features"].shape != expected or arrays["features"].dtype != np.float16:
            return None
        return torch.from_numpy(arrays["features"])

    def write(self, features: Tensor) -> None:
        """Keep finished features in half precision, and forget the unfinished ones.

        Raises:
            DiskFullError: there is no room; nothing is left half-written.
        """
        with atomic_write(self.path) as file:
            np.savez(file, features=features.half().cpu().numpy())
        self.partial.unlink(missing_ok=True)

    def write_partial(self) -> None:
        """Keep what the extraction has so far.

        Raises:
            DiskFullError: there is no room; nothing is left half-written.
        """
        state = self.extraction.state
        arrays = dict(merged=state.merged.cpu().numpy(), done=np.array(state.done, np.int64))
        if state.pool is not None:
            arrays |= dict(
                axis=np.array(state.pool.axis),
                sums=state.pool.sums.cpu().numpy(),
                counts=state.pool.counts.numpy(),
                slices=np.array(state.slices, np.int64),
            )
        with atomic_write(self.partial) as file:
            np.savez(file, **arrays)

    def resume(self) -> bool:
        """Go on where an earlier run stopped; whether there was one."""
        extraction = self.extraction
        arrays = _arrays(self.partial, ("merged", "done"))
        device = extraction.state.merged.device
        if arrays is None or arrays["merged"].shape != extraction.state.merged.shape:
            return False
        state = PartialFeatures(torch.from_numpy(arrays["merged"]).to(device), done=_numbers(arrays["done"]))
        if "axis" in arrays:
            axis = int(arrays["axis"])
            channels, slices = extraction.network.channels, extraction.values.shape[axis]
            state.pool = AxisPool(axis, slices, extraction.cells, channels, device)
            if arrays["sums"].shape != tuple(state.pool.sums.shape):
                return False
            state.pool.sums = torch.from_numpy(arrays["sums"]).to(device)
            state.pool.counts = torch.from_numpy(arrays["counts"])
            state.slices = _numbers(arrays["slices"])
            # the axis in work goes on before the others, whatever is looked at now
            extraction.axes.sort(key=lambda a: a != axis)
        extraction.state = state
        return True


def _numbers(array: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in array)


def _arrays(path: Path, needed: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """Arrays of a file of ours; None where it is missing or damaged: it is computed anew then."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except Exception:  # whatever zip or NumPy find wrong with it
        return None
    return arrays if all(name in arrays for name in needed) else None
