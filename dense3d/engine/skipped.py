"""Telling of samples that a dataset left out, so that none is missing in silence."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from dense3d.datasets.strict import skipped_samples
from dense3d.engine.console import console
from dense3d.registry import HOOKS

SHOWN = 5


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
        more = f"\n  ... and {len(fresh) - SHOWN} more, see the log" if len(fresh) > SHOWN else ""
        lines = "".join(f"\n  {sentence}" for sentence in fresh[:SHOWN])
        console().print(f"{len(fresh)} bad {purpose} samples are skipped:{lines}{more}", markup=False)
