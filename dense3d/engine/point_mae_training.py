"""What Point-MAE's official training does otherwise: rates an epoch late, two steps on one gradient."""

from __future__ import annotations

import math

from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler
from torch.optim import Optimizer

from dense3d.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class LateCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up and half a cosine, each value an epoch late, as Point-MAE's official runs have it.

    The official code steps timm's schedule *after* each epoch with that epoch's number: epochs 0 and 1 both
    run at the first value. The cosine is evaluated at the epoch and not at the epoch since the warm-up's end,
    over all epochs, so that it begins below the base rate.

    Args:
        optimizer: whose rates are scheduled.
        total: epochs of the cosine; later ones have ``eta_min``.
        warmup: epochs of the warm-up.
        start: rate at its beginning.
        eta_min: rate at the end.
        late: by how many epochs.
        begin, end, last_step, by_epoch, verbose: see mmengine's schedulers.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = LateCosineLR(optimizer, total=4, warmup=2, start=0.0, eta_min=0.0)
        >>> rates = []
        >>> for _ in range(5):
        ...     rates.append(round(optimizer.param_groups[0]["lr"], 3))
        ...     _ = optimizer.step()
        ...     schedule.step()
        >>> rates
        [0.0, 0.0, 0.5, 0.5, 0.146]
    """

    def __init__(
        self,
        optimizer: Optimizer | OptimWrapper,
        total: int,
        warmup: int = 10,
        start: float = 1e-6,
        eta_min: float = 1e-6,
        late: int = 1,
        begin: int = 0,
        end: int = INF,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ) -> None:
        self.total, self.warmup, self.start, self.eta_min, self.late = total, warmup, start, eta_min, late
        super().__init__(
            optimizer, begin=begin, end=end, last_step=last_step, by_epoch=by_epoch, verbose=verbose
        )

    def _get_value(self) -> list[float]:
        time = max(self.last_step - self.late, 0)
        return [self._rate(base, time) for base in self.base_values]

    def _rate(self, base: float, time: int) -> float:
        if time < self.warmup:
            return self.start + time * (base - self.start) / self.warmup
        if time >= self.total:
            return self.eta_min
        return self.eta_min + 0.5 * (base - self.eta_min) * (1 + math.cos(math.pi * time / self.total))


@OPTIM_WRAPPERS.register_module()
class TwoStepOptimWrapper(OptimWrapper):
    """Steps twice on every gradient: as it is, then clipped.

    The official training of part segmentation does so, and its published figures come from it. With
    ``OptimWrapper`` in its place there is one step on the clipped gradient.
    """

    def step(self, **kwargs) -> None:
        """Step on the gradient as it is, then as :class:`mmengine.optim.OptimWrapper` does."""
        self.optimizer.step(**kwargs)
        super().step(**kwargs)
