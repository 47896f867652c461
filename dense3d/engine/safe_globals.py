"""The harmless classes that mmengine and mmdet put into checkpoints, for torch's weights-only unpickler.

Each name maps to something that can only build data. ``getattr`` occurs in those files to name methods of
``HistoryBuffer``; the stand-in answers just that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mmengine.logging import HistoryBuffer

_STATISTICS = ("min", "max", "mean", "current", "statistics")


def _method_of_history_buffer(owner: object, name: str) -> Callable:
    if owner is HistoryBuffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise AttributeError(f"a checkpoint asked for the attribute {name!r} of {owner!r}, which is not allowed")


def harmless_globals() -> list:
    """Entries for ``torch.serialization.safe_globals``."""
    # Both names of NumPy's module occur: numpy.core (1.x) and numpy._core (2.x).
    multiarray = _numpy_core().multiarray
    entries: list = [
        HistoryBuffer,
        slice,
        np.ndarray,
        np.dtype,
        (_method_of_history_buffer, "builtins.getattr"),
    ]
    for core in ("numpy.core", "numpy._core"):
        entries.append((multiarray._reconstruct, f"{core}.multiarray._reconstruct"))
        entries.append((multiarray.scalar, f"{core}.multiarray.scalar"))
    kinds = (
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float16",
        "float32",
        "float64",
    )
    entries += [type(np.dtype(kind)) for kind in kinds]
    entries += [type(np.dtype("U1")), type(np.dtype("S1"))]
    return list(dict.fromkeys(entries))


def _numpy_core():
    """The module that holds ``multiarray``, whatever this NumPy calls it."""
    return np._core if hasattr(np, "_core") else np.core
