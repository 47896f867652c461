"""What is told of bad samples: files of a batch in errors, and samples left out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from dense3d.datasets.strict import skipped_samples
from dense3d.errors import DataError
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
