"""What is told of bad samples: files of a batch in errors, losses that are not finite, samples left out."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from dense3d.datasets.strict import skipped_samples
from dense3d.engine.distributed import any_process, from_all_processes
from dense3d.errors import DataError, TrainingError
from dense3d.registry import HOOKS

NAMES_SHOWN = 16
_NAME_KEYS = ("img_path", "file_name", "filename", "path", "lidar_path", "img_id", "sample_idx")
SHOWN = 5


def names_of(batch: Any) -> Iterator[str]:
    """File names (or identifiers) of the samples of a batch, as far as the samples carry them.

    Args:
        batch: what the data loader gave: nested dicts and lists with data samples inside.

    Example:
        >>> list(names_of({"inputs": [0, 1], "img_path": ["a.jpg", "b.jpg"]}))
        ['a.jpg', 'b.jpg']
    """
    if isinstance(batch, dict):
        for key in _NAME_KEYS:
            if key in batch:
                value = batch[key]
                yield from map(str, value if isinstance(value, (list, tuple)) else [value])
                return
        for value in batch.values():
            yield from names_of(value)
    elif isinstance(batch, (list, tuple)):
        for value in batch:
            yield from names_of(value)
    elif hasattr(batch, "metainfo"):
        yield from names_of(dict(batch.metainfo))


@contextlib.contextmanager
def naming_samples(batch: Any) -> Iterator[None]:
    """Add the files of ``batch`` to a :class:`DataError` of a model, which sees pixels only.

    Raises:
        DataError: in place of one that names none of the files.

    Example:
        >>> with naming_samples({"img_path": ["a.jpg"]}):
        ...     raise DataError("an image has no pixels")
        Traceback (most recent call last):
        dense3d.errors.DataError: an image has no pixels (in the batch of a.jpg)
    """
    try:
        yield
    except DataError as error:
        names = list(islice(dict.fromkeys(names_of(batch)), NAMES_SHOWN))  # views of one image count once
        if not names or any(name in str(error) for name in names):
            raise
        raise DataError(f"{error} (in the batch of {', '.join(names)})") from error


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


@HOOKS.register_module()
class SkippedSamplesHook(Hook):
    """Say which samples ``skip_bad_samples=True`` left out, when training starts and after every epoch.

    In distributed training, process 0 tells of the samples that it met itself.
    """

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def before_train(self, runner: Runner) -> None:
        """Images left out when the file lists were read."""
        self._tell(runner, runner.train_dataloader.dataset, "training")
        if runner.val_loop is not None:
            self._tell(runner, runner.val_dataloader.dataset, "validation")

    def after_train_epoch(self, runner: Runner) -> None:
        """Images that turned out to be bad when they were loaded."""
        self._tell(runner, runner.train_dataloader.dataset, "training")

    def after_train(self, runner: Runner) -> None:
        """The same for loops that count iterations."""
        self._tell(runner, runner.train_dataloader.dataset, "training")

    def before_test(self, runner: Runner) -> None:
        """Images left out of an evaluation."""
        self._tell(runner, runner.test_dataloader.dataset, "test")

    def _tell(self, runner: Runner, dataset: Any, purpose: str) -> None:
        fresh = [s for s in skipped_samples(dataset) if (purpose, s) not in self._told]
        if not fresh:
            return
        self._told.update((purpose, sentence) for sentence in fresh)
        for sentence in fresh:
            runner.logger.info(f"skipped in {purpose}: {sentence}")
        from dense3d.engine.console import console

        more = f"\n  ... and {len(fresh) - SHOWN} more, see the log" if len(fresh) > SHOWN else ""
        lines = "".join(f"\n  {sentence}" for sentence in fresh[:SHOWN])
        console().print(f"{len(fresh)} bad {purpose} samples are skipped:{lines}{more}", markup=False)
