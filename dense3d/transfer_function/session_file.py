"""The file that a session is kept in: saved soon after every change, whole or not at all, by one process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from dense3d.errors import DataError, Dense3dError
from dense3d.files import atomic_write, remove_stale_temporaries

QUIET = 0.5  # seconds without a change after which is saved
LONGEST = 3.0  # seconds after the first unsaved change


class SessionInUseError(DataError):
    """Another process keeps its work in the same session file."""


class SessionFile:
    """A session file of this process, locked until it is closed.

    Args:
        path: of the file; it need not exist. The lock is a file beside it.
        content: gives the text to save.

    Raises:
        SessionInUseError: another process has it open.
    """

    def __init__(self, path: str | os.PathLike, content: Callable[[], bytes]) -> None:
        from filelock import FileLock, Timeout

        self.path = Path(path)
        self.problem: str | None = None
        self.listeners: list[Callable[[], None]] = []  # told after every attempt to save
        self._content = content
        self._condition = threading.Condition()
        self._saving = threading.Lock()
        self._wanted = self._written = 0  # how many changes there were, and how many are on disk
        self._closed = False
        lock = self.path.with_name(f".{self.path.name}.lock")
        self._lock = FileLock(lock)
        lock.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(self.path.parent)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            holder = _holder(lock)
            raise SessionInUseError(
                f"{path} is in use{holder}: close that one, or name another file by --session"
            ) from None
        lock.write_text(f"{os.getpid()}\n", encoding="ascii")
        self._thread = threading.Thread(target=self._work, name="autosave", daemon=True)
        self._thread.start()

    @property
    def saved(self) -> bool:
        """Whether everything is on disk."""
        return self._wanted == self._written

    def changed(self) -> None:
        """Tell that there is something to save; returns at once."""
        with self._condition:
            self._wanted += 1
            self._condition.notify_all()

    def save(self) -> None:
        """Save now.

        Raises:
            Dense3dError: the disk is full.
            OSError: the folder cannot be written to.
        """
        try:
            with self._saving:
                wanted = self._wanted
                try:
                    content = self._content()
                    with atomic_write(self.path) as file:
                        file.write(content)
                except (OSError, Dense3dError) as error:
                    self.problem = f"{self.path} could not be saved: {error}"
                    raise
                self.problem, self._written = None, wanted
        finally:
            for listener in self.listeners:
                listener()

    def close(self) -> None:
        """Save what is not saved and give the file free."""
        with self._condition:
            if self._closed:
                return
            self._closed = True
            self._condition.notify_all()
        self._thread.join()
        try:
            if not self.saved:
                self.save()
        finally:
            self._lock.release()

    def discard(self) -> None:
        """Give the file free as it is on disk."""
        self._written = self._wanted
        self.close()

    def _work(self) -> None:
        while self._wait(lambda: not self.saved):
            first, quiet = time.monotonic(), False
            while not quiet and time.monotonic() - first < LONGEST:
                before = self._wanted
                quiet = not self._wait(lambda before=before: self._wanted != before, QUIET)
            if self._closed:
                return
            try:
                self.save()
            except (OSError, Dense3dError):  # the problem is told; tried again after a while
                self._wait(lambda: False, LONGEST)

    def _wait(self, until: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait for something to become true; False where it did not, or the file was closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or until(), seconds)
            return not self._closed and until()


def _holder(lock: Path) -> str:
    try:
        return f" by process {int(lock.read_text(encoding='ascii'))}"
    except (OSError, ValueError):
        return " by another process"
