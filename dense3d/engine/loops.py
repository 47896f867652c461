"""mmengine's loops: those of training know and resume their exact place, all name the files of bad samples.

They carry mmengine's names and arguments, so configs need no change. Training loops add :class:`Progress`:
how many batches of the current pass over the data are done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from mmengine.dataset import InfiniteSampler
from mmengine.runner import loops as mmengine_loops
from torch.utils.data import DataLoader

from dense3d.engine import seeding
from dense3d.engine.bad_batches import naming_samples
from dense3d.engine.seeding import SeededBatchSampler
from dense3d.errors import ConfigError
from dense3d.registry import LOOPS


@dataclass
class Progress:
    """Place of a training run, counted in completed things.

    Attributes:
        epoch: completed epochs (of an iteration-based run: 0).
        iter: completed iterations.
        data_epoch: completed passes over the data.
        batch: batches of the current pass that are done.
        validated: the validation that is due here, if any, has been done.
    """

    epoch: int = 0
    iter: int = 0
    data_epoch: int = 0
    batch: int = 0
    validated: bool = False


def start_batches(dataloader: DataLoader, epoch: int, batch: int) -> Iterator:
    """Iterator over the batches of pass ``epoch`` that come after the first ``batch`` ones.

    Skipped batches are not loaded where the data loader is ours (:class:`SeededBatchSampler`).
    Creating an iterator draws from torch's generator; that is undone here, so that a resumed run, which
    creates one more iterator than an uninterrupted one, sees the same random numbers.
    """
    sampler = dataloader.batch_sampler
    with seeding.preserved_on_cpu():
        if isinstance(sampler, SeededBatchSampler):
            sampler.start_at(epoch, batch)
            return iter(dataloader)
        for candidate in (dataloader.sampler, getattr(sampler, "sampler", None)):
            if hasattr(candidate, "set_epoch"):
                candidate.set_epoch(epoch)
        batches = iter(dataloader)
        for _ in range(batch):
            next(batches)
        return batches


def require_batches(dataloader: DataLoader) -> None:
    """Complain about training data that are fewer than a batch, where incomplete batches are left out.

    Raises:
        ConfigError: no batch is left.
    """
    batches, number = dataloader.batch_sampler, len(dataloader.dataset)
    endless = isinstance(getattr(batches, "sampler", dataloader.sampler), InfiniteSampler)
    if len(dataloader) or endless:
        return
    raise ConfigError(
        f"the training data have {number} samples, fewer than one batch of {batches.batch_size}, and "
        f"drop_last leaves incomplete batches out: set train_dataloader.batch_size to {number} or less, or "
        "train_dataloader.drop_last=False"
    )


class ResumableLoop:
    """What the two loops share: progress, and what is restored at the first iteration after a resume."""

    progress: Progress

    def resume_at(self, progress: dict) -> None:
        """Take up a run at the place that :meth:`place` recorded."""
        known = {name: progress[name] for name in asdict(Progress()) if name in progress}
        self.progress = Progress(**known)
        self._epoch, self._iter = self.progress.epoch, self.progress.iter

    def place(self) -> dict:
        """The present place as plain data."""
        return asdict(self.progress)

    def _advance(self) -> None:
        # Before the iteration: its hooks, which save checkpoints, run when the step has been made.
        self.progress.iter = self._iter + 1
        self.progress.batch += 1
        self.progress.validated = False
        self.runner.restore_random_state()

    def finish_validation(self) -> None:
        """Validate now, if the run was stopped after the training step and before the validation due."""
        if self.progress.validated or self._iter == 0 or self.runner.val_loop is None:
            return
        self._decide_current_val_interval()
        if self._validation_is_due():
            self.runner.restore_random_state()
            self.runner.val_loop.run()


@LOOPS.register_module()
class EpochBasedTrainLoop(ResumableLoop, mmengine_loops.EpochBasedTrainLoop):
    """mmengine's epoch loop, able to start inside an epoch; arguments as there."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.progress = Progress()

    def run_epoch(self) -> None:
        """Train what is left of the epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        first = self.progress.batch
        batches = start_batches(self.dataloader, self._epoch, first)
        for number, data_batch in enumerate(batches, start=first):
            self.run_iter(number, data_batch)
        self.runner.restore_random_state()  # of a run that is resumed when nothing of the epoch is left
        self.progress = Progress(epoch=self._epoch + 1, iter=self._iter, data_epoch=self._epoch + 1)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """One iteration on batch ``idx`` of the epoch."""
        self._advance()
        with naming_samples(data_batch):
            super().run_iter(idx, data_batch)

    def _validation_is_due(self) -> bool:
        at_boundary = self.progress.batch == 0 and self._epoch >= self.val_begin
        return at_boundary and (self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs)


@LOOPS.register_module()
class IterBasedTrainLoop(ResumableLoop, mmengine_loops.IterBasedTrainLoop):
    """mmengine's iteration loop, able to start inside a pass over the data; arguments as there."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.progress = Progress()
        self.dataloader_iterator = EndlessBatches(self)

    def run_iter(self, data_batch: dict) -> None:
        """One iteration."""
        self._advance()
        with naming_samples(data_batch):
            super().run_iter(data_batch)

    def _validation_is_due(self) -> bool:
        if self._iter < self.val_begin:
            return False
        return self._iter % self.val_interval == 0 or self._iter == self._max_iters


@LOOPS.register_module()
class ValLoop(mmengine_loops.ValLoop):
    """mmengine's; arguments as there."""

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Predict batch ``idx`` and hand it to the metrics."""
        with naming_samples(data_batch):
            super().run_iter(idx, data_batch)


@LOOPS.register_module()
class TestLoop(mmengine_loops.TestLoop):
    """mmengine's; arguments as there."""

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Predict batch ``idx`` and hand it to the metrics."""
        with naming_samples(data_batch):
            super().run_iter(idx, data_batch)


class EndlessBatches:
    """Batches of a loop's data loader, pass after pass, from the loop's progress on."""

    def __init__(self, loop: IterBasedTrainLoop) -> None:
        self._loop = loop
        self._batches: Iterator | None = None

    def __iter__(self) -> EndlessBatches:
        return self

    def __next__(self) -> dict:
        progress = self._loop.progress
        if self._batches is None:
            self._batches = start_batches(self._loop.dataloader, progress.data_epoch, progress.batch)
        batch = next(self._batches, None)
        if batch is None:
            progress.data_epoch += 1
            progress.batch = 0
            self._batches = start_batches(self._loop.dataloader, progress.data_epoch, 0)
            batch = next(self._batches)
        return batch

    def skip_iter(self, num_iters: int) -> None:
        """mmengine asks for this on resume; the progress that was resumed already says where to start."""
