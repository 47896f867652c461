"""Ctrl-C and SIGTERM: finish the iteration, save, say how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from dense3d.engine.distributed import any_process
from dense3d.engine.resumable import write_pointer
from dense3d.registry import HOOKS

INTERRUPTED = "interrupted.pth"


class TrainingInterrupted(SystemExit):
    """The run was asked to stop and has saved its state; exits quietly with ``128 + signal``.

    Attributes:
        checkpoint: file to resume from.
    """

    def __init__(self, number: int, checkpoint: Path) -> None:
        super().__init__(128 + number)
        self.checkpoint = checkpoint


class Interrupts:
    """Notes the first SIGINT or SIGTERM; a second one stops the process at once."""

    def __init__(self) -> None:
        self.received: int | None = None

    def note(self, number: int, frame: object) -> None:
        """Signal handler."""
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals inside the block (only Python's main thread can)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {n: signal.signal(n, self.note) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@HOOKS.register_module()
class InterruptHook(Hook):
    """After an iteration in which a process was asked to stop: save and leave.

    Raises:
        TrainingInterrupted: when ``interrupted.pth`` is safely in the work directory.
    """

    priority = "LOWEST"

    def before_train(self, runner) -> None:
        """A run that was killed between a training step and its validation does the validation first."""
        finish = getattr(runner.train_loop, "finish_validation", None)
        if finish is not None:
            finish()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Stop here if asked to."""
        received = runner.interrupts.received
        if not any_process(received is not None)[0]:
            return
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, by_epoch=False)
        path = Path(runner.work_dir) / INTERRUPTED
        name = signal.Signals(received).name if received else "another process"
        if is_main_process():
            write_pointer(runner.work_dir, str(path))
            message = (
                f"stopped by {name} after iteration {runner.iter + 1}; the state is saved in {path}: "
                "go on with --resume auto"
            )
            runner.logger.info(message)
            print(message, flush=True)
        raise TrainingInterrupted(received or signal.SIGTERM, path)
