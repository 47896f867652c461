"""One training at a time in a work directory."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from mmengine.logging import print_log

from dense3d.errors import ConfigError
from dense3d.files import atomic_write, is_alive

LOCK = ".training.lock"
OWNER = ".training.json"
# What a killed run leaves behind, such as its data loader's processes, holds its lock until it has noticed.
PATIENCE = 10.0


@contextlib.contextmanager
def locked(work_dir: str | os.PathLike) -> Iterator[None]:
    """Hold the work directory while the block runs; does nothing where this process holds it already.

    The operating system gives the lock up when a process ends, however it ends. On a file system without
    locks the run goes on without one and says so in its log.

    Raises:
        ConfigError: another process trains there; names it.
    """
    folder = Path(work_dir).absolute()
    if (os.getpid(), folder) in _held:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        _acquire(lock, folder)
    except (OSError, NotImplementedError) as error:
        print_log(f"{folder} cannot be locked ({error}): nothing keeps a second run out of it", "current")
        yield
        return
    _held.add((os.getpid(), folder))
    try:
        with atomic_write(folder / OWNER, "w") as file:
            json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": time.ctime()}, file)
        yield
    finally:
        _held.discard((os.getpid(), folder))
        with contextlib.suppress(OSError):
            (folder / OWNER).unlink()
        lock.release()


_held: set[tuple[int, Path]] = set()  # by process, since a fork inherits the set but not the lock


def _acquire(lock: FileLock, folder: Path) -> None:
    """Take the lock; wait for it only if the process that had it is no more."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            owner = _owner(folder)
            gone = owner.get("host") == socket.gethostname() and not is_alive(owner["pid"])
            if not gone or time.monotonic() > deadline:
                raise ConfigError(_sentence(folder, owner)) from None
            time.sleep(0.1)


def _owner(folder: Path) -> dict:
    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return {"host": str(owner["host"]), "pid": int(owner["pid"]), "since": str(owner["since"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _sentence(folder: Path, owner: dict) -> str:
    who = "{since}: process {pid} on {host}".format(**owner) if owner else "now: an unnamed process"
    return (
        f"another run trains in {folder}, since {who}; two would mix their files: wait for it, end it, or "
        "give this run a folder of its own with --work-dir"
    )
