"""Losses, gradients and weights that are not finite: steps left out, and the end of a run that is lost."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict

from dense3d.engine.bad_batches import NAMES_SHOWN, names_of
from dense3d.engine.distributed import any_process, from_all_processes
from dense3d.engine.finite import all_finite, few, non_finite_weights
from dense3d.engine.loading import bare_model
from dense3d.errors import TrainingError
from dense3d.registry import HOOKS


class _NotFinite(Exception):
    """Leaves an optimiser wrapper's step between clipping and the optimiser."""


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Leave out the optimiser's step for a loss or gradients that are NaN or infinite, and give up in time.

    All processes leave the step out together, so parameters stay equal. The running statistics of norms go
    back to what they were before the batch. Steps left out are counted in ``runner.skipped_steps`` and warned
    of. A loss scaler leaves out steps itself while it looks for its scale: of those only the ones at a scale
    below 1, or at a fixed one, count. Weights that are not finite cannot recover: they end the run.

    Args:
        max_in_a_row: the run stops at this many bad losses without a finite one between them, or steps left
            out without one made.

    Raises:
        TrainingError: names the iteration and the files of the batch.
    """

    priority = "VERY_HIGH"

    def __init__(self, max_in_a_row: int = 10) -> None:
        self.max_in_a_row = max_in_a_row
        self.in_a_row = 0  # steps left out since the last one made
        self._losses = 0  # that were not finite since the last one that was
        self._names: deque[list[str]] = deque(maxlen=1)
        self._statistics: list[torch.Tensor] = []
        self._kept: list[torch.Tensor] = []
        self._steps = 0

    def before_train(self, runner) -> None:
        """Put checks in front of ``update_params`` and ``step``."""
        runner.skipped_steps = self._steps = 0
        counts = []
        for wrapper in _wrappers(runner.optim_wrapper):
            counts.append(getattr(wrapper, "_accumulative_counts", 1))
            for name, check in (("update_params", self._update_params), ("step", self._step)):
                setattr(wrapper, name, _checked(getattr(wrapper, name), check, wrapper, runner))
        self._names = deque(maxlen=max([1, *counts]))
        self._statistics = list(_statistics(runner.model))
        self._kept = [buffer.clone() for buffer in self._statistics]

    def before_train_iter(self, runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the files of the batch, and the statistics that it may spoil."""
        self._names.append(list(islice(names_of(data_batch), NAMES_SHOWN)))
        if self._kept:
            torch._foreach_copy_(self._kept, self._statistics)

    def after_train(self, runner) -> None:
        """A run that ends without finite weights, or has long made no step, has failed.

        Raises:
            TrainingError: in that case.
        """
        check_weights(runner)
        if self.in_a_row and not self._steps:
            raise TrainingError(
                f"all {self.in_a_row} steps of this run were left out, as losses or gradients were not "
                "finite; lower the learning rate, clip gradients or check the data"
            )

    def _update_params(
        self, update: Callable, wrapper: OptimWrapper, runner, loss: torch.Tensor, *args, **kwargs
    ) -> None:
        (is_bad,) = any_process(not bool(torch.isfinite(loss.detach()).all()))
        if not is_bad:
            self._losses = 0
            update(loss, *args, **kwargs)
            return
        self._losses += 1
        self.in_a_row += len(self._names) == self._names.maxlen == 1
        self._leave_out(runner, f"loss {float(loss.detach())}", self._losses)
        _count_iteration(wrapper)

    def _step(self, step: Callable, wrapper: OptimWrapper, runner, **kwargs) -> None:
        if hasattr(wrapper, "loss_scaler") and wrapper.loss_scaler.is_enabled():
            finite, reason = self._scaled_step(step, wrapper, **kwargs)
        else:
            finite, reason = _checked_step(step, wrapper, **kwargs), "gradients under a finite loss"
        if finite:
            self.in_a_row = 0
            self._steps += 1
        elif reason:
            self.in_a_row += 1
            self._leave_out(runner, reason, self.in_a_row)

    def _scaled_step(self, step: Callable, wrapper: OptimWrapper, **kwargs) -> tuple[bool, str]:
        """Whether the optimiser ran, and what is wrong if that is not the loss scaler's ordinary search."""
        made: list[bool] = []
        handle = wrapper.optimizer.register_step_post_hook(lambda *_: made.append(True))
        try:
            step(**kwargs)
        finally:
            handle.remove()
        if made:
            return True, ""
        scale = wrapper.loss_scaler.get_scale()
        is_fixed = wrapper._scale_update_param is not None
        return (
            False,
            f"gradients at a loss scale of {scale:g}" if is_fixed or scale < 1 else "",
        )

    def _leave_out(self, runner, found: str, in_a_row: int) -> None:
        runner.skipped_steps += 1
        if self._kept:
            torch._foreach_copy_(self._statistics, self._kept)
        check_weights(runner)
        gathered = from_all_processes([name for names in self._names for name in names])
        names = list(dict.fromkeys(name for names in gathered for name in names))
        files = ", ".join(names[:NAMES_SHOWN]) or "unnamed samples"
        place = f"iteration {runner.iter + 1}"
        count = max(in_a_row, self.in_a_row)
        if count >= self.max_in_a_row:
            what = "the loss was" if found.startswith("loss") else "gradients were"
            raise TrainingError(
                f"{what} not finite {count} times in a row, last at {place} ({found}); "
                f"lower the learning rate, clip gradients or check the samples of that batch: {files}"
            )
        what = found.replace("loss", "the loss is", 1) if found.startswith("loss") else f"not finite: {found}"
        runner.logger.warning(
            f"{what} at {place}; this step is left out ({runner.skipped_steps} so far): {files}"
        )


def check_weights(runner) -> None:
    """Stop, all processes together, if weights or their averages are lost.

    Raises:
        TrainingError: some are not finite.
    """
    bad = non_finite_weights(bare_model(runner.model))
    for hook in runner.hooks:
        average = getattr(hook, "ema_model", None)
        if average is not None and not bad:
            bad = [f"average of {name.removeprefix('module.')}" for name in non_finite_weights(average)]
    if any_process(bool(bad))[0]:
        raise TrainingError(
            f"weights are not finite at iteration {runner.iter + 1} ({few(bad) or 'in another process'}), so "
            "training ends and they are not saved; earlier checkpoints are kept: lower the learning rate or "
            "clip gradients, and go on from one with --resume"
        )


class _Checked(functools.partial):
    """A method of an optimiser wrapper with a check in front; ``args[0]`` is the method."""


def _checked(method: Callable, check: Callable, *args: Any) -> _Checked:
    method = method.args[0] if isinstance(method, _Checked) else method
    checked = _Checked(check, method, *args)
    if hasattr(method, "_with_counter"):  # by which mmengine's schedulers know that they see the steps
        checked._with_counter = True
    return checked


def _wrappers(optim_wrapper: OptimWrapper) -> Iterable[OptimWrapper]:
    return optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]


def _gradients(wrapper: OptimWrapper) -> list[torch.Tensor]:
    parameters = [p for group in wrapper.optimizer.param_groups for p in group["params"]]
    return [p.grad for p in parameters if p.grad is not None]


def _checked_step(step: Callable, wrapper: OptimWrapper, **kwargs) -> bool:
    """Make the step if all gradients are finite, in all processes.

    Clipping by the norm computes it anyway, so that the check costs nothing there; otherwise it is one norm.
    """
    if not (wrapper.clip_grad_kwargs and wrapper.grad_name == "grad_norm"):
        if any_process(not all_finite(_gradients(wrapper)))[0]:
            return False
        step(**kwargs)
        return True
    clip = wrapper.clip_func

    def checked_clip(parameters: list[torch.Tensor], **options) -> torch.Tensor:
        norm = clip(parameters, **options)
        if any_process(not bool(torch.isfinite(norm)))[0]:
            raise _NotFinite
        return norm

    wrapper.clip_func = checked_clip
    try:
        step(**kwargs)
    except _NotFinite:
        return False
    finally:
        wrapper.clip_func = clip
    return True


def _count_iteration(wrapper: OptimWrapper) -> None:
    """Count the iteration; with gradient accumulation, still apply what other iterations gathered."""
    wrapper._inner_count += 1
    if wrapper.should_update() and _gradients(wrapper):
        wrapper.step()
        wrapper.zero_grad()


def _statistics(model: torch.nn.Module) -> Iterable[torch.Tensor]:
    """What a forward pass in training changes by itself: buffers that belong to the saved state."""
    state = model.state_dict()
    for name, buffer in model.named_buffers():
        if name in state and buffer.numel():
            yield buffer
