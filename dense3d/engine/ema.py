"""Averaged weights by any of the libraries' averages."""

from __future__ import annotations

import importlib
from typing import Any

from mmengine.hooks import EMAHook as MMEngineEMAHook

from dense3d.errors import ConfigError, did_you_mean
from dense3d.registry import HOOKS, MODELS

_LIBRARIES = ("mmdet", "mmseg")


@HOOKS.register_module()
class EMAHook(MMEngineEMAHook):
    """mmengine's ``EMAHook``, which also finds the averages of mmdet and mmseg by their bare names.

    Args:
        ema_type: ``"ExponentialMovingAverage"`` and others of mmengine, or for instance mmdet's
            ``"ExpMomentumEMA"``.
        **kwargs: as for mmengine's hook.

    Raises:
        ConfigError: there is no such average.
    """

    def __init__(self, ema_type: Any = "ExponentialMovingAverage", **kwargs: Any) -> None:
        super().__init__(_full_name(ema_type), **kwargs)


def _full_name(name: Any) -> Any:
    """The name with the library's prefix that its users leave out where the library is the default scope."""
    if not isinstance(name, str) or "." in name or MODELS.get(name) is not None:
        return name
    known = ["ExponentialMovingAverage", "MomentumAnnealingEMA", "StochasticWeightAverage"]
    for library in _LIBRARIES:
        importlib.import_module(f"{library}.models")
        registered = importlib.import_module(f"{library}.registry").MODELS.module_dict
        if name in registered:
            return f"{library}.{name}"
        known += [other for other in registered if other.endswith("EMA")]
    raise ConfigError(f"EMAHook: there is no ema_type {name!r}{did_you_mean(name, known)}")
