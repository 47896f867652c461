"""Learnt features on disk, found by the volume that they were learnt on."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np

from dense3d.files import atomic_write
from dense3d.structures.volume import Volume

FORMAT = 2  # of the files and of what is learnt; another number makes other names


def cache_folder() -> Path:
    """``dense3d/graph`` in the user's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(root) / "dense3d" / "graph"


class LearntFile:
    """The place of one volume's learnt features.

    Args:
        volume: the working grid; its voxels and spacing make the name.
        seed: that they were learnt with.
        folder: :func:`cache_folder` unless given.
    """

    def __init__(self, volume: Volume, seed: int, folder: str | os.PathLike | None = None) -> None:
        spacing = tuple(round(length, 6) for length in volume.spacing)
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((FORMAT, seed, volume.shape, volume.values.dtype.str, spacing)).encode())
        for part in volume.values:
            digest.update(np.ascontiguousarray(part).tobytes())
        self.path = Path(folder or cache_folder()) / f"{digest.hexdigest()}.npy"

    def read(self, count: int) -> np.ndarray | None:
        """(count, F) float32 features, or None where there are none that can be read."""
        try:
            features = np.load(self.path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        usable = features.ndim == 2 and len(features) == count and features.dtype == np.float32
        return features if usable and np.isfinite(features).all() else None

    def write(self, features: np.ndarray) -> None:
        """Keep features; a folder that cannot be written to costs the time to learn them again."""
        with contextlib.suppress(OSError), atomic_write(self.path) as file:
            np.save(file, features)
