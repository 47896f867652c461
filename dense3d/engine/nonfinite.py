"""Stop when the loss is not a number, and say for which images."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict

from dense3d.engine.batch_names import NAMES_SHOWN, names_of
from dense3d.engine.distributed import any_process, from_all_processes
from dense3d.errors import TrainingError
from dense3d.registry import HOOKS


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Leave out the optimiser's step for a loss that is NaN or infinite, and give up after some in a row.

    All processes leave the step out together, so parameters stay equal. Steps left out are counted in
    ``runner.skipped_steps`` and warned of.

    Args:
        max_in_a_row: the run stops at this many non-finite losses without a finite one between them.

    Raises:
        TrainingError: from the training step; names the iteration and the files of the batch.
    """

    priority = "VERY_HIGH"

    def __init__(self, max_in_a_row: int = 10) -> None:
        self.max_in_a_row = max_in_a_row
        self.in_a_row = 0
        self._batch: Any = None

    def before_train(self, runner) -> None:
        """Put a check in front of ``update_params``."""
        runner.skipped_steps = 0
        for wrapper in _wrappers(runner.optim_wrapper):
            wrapper.update_params = functools.partial(
                self._update_params, wrapper.update_params, wrapper, runner
            )

    def before_train_iter(self, runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the batch, to name its files."""
        self._batch = data_batch

    def _update_params(
        self, update, wrapper: OptimWrapper, runner, loss: torch.Tensor, *args, **kwargs
    ) -> None:
        (is_bad,) = any_process(not bool(torch.isfinite(loss.detach()).all()))
        if not is_bad:
            self.in_a_row = 0
            update(loss, *args, **kwargs)
            return
        self.in_a_row += 1
        runner.skipped_steps += 1
        self._report(runner, float(loss.detach()))
        _skip_step(wrapper)

    def _report(self, runner, loss: float) -> None:
        gathered = from_all_processes(list(islice(names_of(self._batch), NAMES_SHOWN)))
        names = [name for names in gathered for name in names]
        files = ", ".join(names[:NAMES_SHOWN]) or "unnamed samples"
        place = f"iteration {runner.iter + 1}"
        if self.in_a_row >= self.max_in_a_row:
            raise TrainingError(
                f"the loss was not finite {self.in_a_row} times in a row, last at {place} (loss {loss}); "
                f"lower the learning rate, clip gradients or check the samples of that batch: {files}"
            )
        runner.logger.warning(
            f"the loss is {loss} at {place}; this step is left out ({runner.skipped_steps} so far): {files}"
        )


def _wrappers(optim_wrapper: OptimWrapper) -> Iterable[OptimWrapper]:
    return optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]


def _skip_step(wrapper: OptimWrapper) -> None:
    """Count the iteration; with gradient accumulation, still apply what other iterations gathered."""
    wrapper._inner_count += 1
    parameters = [p for group in wrapper.optimizer.param_groups for p in group["params"]]
    if wrapper.should_update() and any(p.grad is not None for p in parameters):
        wrapper.step()
        wrapper.zero_grad()
