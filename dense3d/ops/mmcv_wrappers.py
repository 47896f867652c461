"""Corrections to the Python wrappers of ``mmcv.ops``, applied right after each is imported."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

_CORRECTIONS: dict[str, Callable[[ModuleType], None]] = {}


def correct(module: ModuleType) -> None:
    """Apply the correction registered for ``module``, if there is one."""
    correction = _CORRECTIONS.get(module.__name__)
    if correction is not None:
        correction(module)
