"""Mixed precision on any device."""

from __future__ import annotations

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper as MMEngineAmpOptimWrapper
from mmengine.optim import OptimWrapper

from dense3d.errors import ConfigError
from dense3d.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(MMEngineAmpOptimWrapper):
    """mmengine's ``AmpOptimWrapper``, which refuses the CPU, on the CPU as well.

    Args:
        loss_scale: ``"dynamic"``, a fixed number, or the arguments of ``torch.amp.GradScaler``.
        dtype: ``"float16"`` or ``"bfloat16"``; by default what autocast takes on the device. The CPU
            computes in bfloat16 whatever is asked for.
        **kwargs: as for mmengine's ``OptimWrapper``; ``use_fsdp`` as for its ``AmpOptimWrapper``.
    """

    def __init__(
        self,
        loss_scale: str | float | dict = "dynamic",
        dtype: str | torch.dtype | None = None,
        **kwargs,
    ) -> None:
        if get_device() != "cpu":
            super().__init__(loss_scale=loss_scale, dtype=dtype, **kwargs)
            return
        kwargs.pop("use_fsdp", None)
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param = float(loss_scale) if isinstance(loss_scale, (int, float)) else None
        self.loss_scaler = torch.amp.GradScaler("cpu", **_scaler_arguments(loss_scale))
        self.cast_dtype = torch.bfloat16


def _scaler_arguments(loss_scale: str | float | dict) -> dict:
    if loss_scale == "dynamic":
        return {}
    if isinstance(loss_scale, (int, float)):
        return {"init_scale": float(loss_scale)}
    if isinstance(loss_scale, dict):
        return dict(loss_scale)
    raise ConfigError(f'loss_scale must be "dynamic", a number or a dict, not {loss_scale!r}')
