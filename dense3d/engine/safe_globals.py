"""The harmless classes that mmengine and mmdet put into checkpoints, for torch's weights-only unpickler.

Each name maps to something that can only build data. ``getattr`` occurs in those files to name methods of
``HistoryBuffer``; the stand-in answers just that.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer

_STATISTICS = ("min", "max", "mean", "current", "statistics")


def _method_of_history_buffer(owner: object, name: str) -> Callable:
    if owner is HistoryBuffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise AttributeError(f"a checkpoint asked for the attribute {name!r} of {owner!r}, which is not allowed")


def harmless_globals() -> list[Callable]:
    """Entries for ``torch.serialization.safe_globals``."""
    entries: list = [HistoryBuffer, slice, np.ndarray, np.dtype]
    entries.append(_alias(_method_of_history_buffer, "builtins", "getattr"))
    # Both names of NumPy's module occur in files: numpy.core (1.x) and numpy._core (2.x).
    multiarray = _numpy_core().multiarray
    for core in ("numpy.core", "numpy._core"):
        for name in ("_reconstruct", "scalar"):
            entries.append(_alias(getattr(multiarray, name), f"{core}.multiarray", name))
    kinds = "bool uint8 int8 int16 int32 uint32 int64 uint64 float16 float32 float64 U1 S1"
    entries += [type(np.dtype(kind)) for kind in kinds.split()]
    return entries


def _alias(function: Callable, module: str, name: str) -> Callable:
    """``function`` under the name by which a file asks for it."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__qualname__, alias.__name__ = module, name, name
    return alias


def _numpy_core() -> ModuleType:
    """The module that holds ``multiarray``, whatever this NumPy calls it."""
    return np._core if hasattr(np, "_core") else np.core
