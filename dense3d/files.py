"""Files that appear whole or not at all: temporary name in the same folder, fsync, rename.

A process killed while writing leaves at most a hidden ``.<name>.<pid>.<random>.tmp`` file, which nothing
reads and :func:`remove_stale_temporaries` clears; the file of that name, old or absent, stays as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dense3d.errors import ConfigError, Dense3dError

_TEMPORARY = re.compile(r"^\..+\.(\d+)\.[0-9a-f]{8}\.tmp$")


class DiskFullError(Dense3dError, OSError):
    """No space (or no quota) is left where a file was to be written; nothing was replaced."""


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "wb", encoding: str | None = None) -> Iterator[IO]:
    """Open a temporary file beside ``path`` that takes its place when the block ends without an error.

    Args:
        path: the file to create or replace; its folder is created if needed.
        mode: ``"wb"`` or ``"w"``.
        encoding: of text; UTF-8 unless given.

    Yields:
        The open temporary file.

    Raises:
        DiskFullError: the disk or the quota is full. ``path`` keeps its old content, and neither then nor
            after any other error is a temporary file left.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "results.json"
        >>> with atomic_write(target, "w") as file:
        ...     _ = file.write("{}")
        >>> target.read_text()
        '{}'
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_write replaces a whole file: mode must be 'wb' or 'w', not {mode!r}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open(mode, encoding=(encoding or "utf-8") if mode == "w" else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if is_disk_full(error):
            raise DiskFullError(
                f"no space is left on the disk for {path}: nothing was written and any earlier file of that "
                "name is unchanged; free some space or choose another folder"
            ) from error
        raise


def require_writable_folder(folder: str | os.PathLike) -> None:
    """Complain about a place where no file could be written, before any work is done for it.

    Args:
        folder: need not exist.

    Raises:
        ConfigError: it, or something above it, is a file, or may not be written to.
    """
    path = Path(folder).absolute()
    place = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not os.path.isdir(place):  # noqa: PTH112 - also where the path is nonsense
        what = "is no folder" if place == path else f"cannot be a folder, since {place} is none"
        raise ConfigError(f"{folder} {what}: name another place for results")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder}: {place} cannot be written to; name another place for results")


def require_writable_file(file: str | os.PathLike) -> None:
    """The same for a file that is to be written or replaced.

    Raises:
        ConfigError: it is a folder, or its folder cannot be written to.
    """
    path = Path(file)
    if path.is_dir():
        raise ConfigError(f"{file} is a folder: name a file")
    require_writable_folder(path.parent)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether ``error``, or one that caused it, is an exhausted disk or quota.

    Example:
        >>> is_disk_full(OSError(errno.ENOSPC, "No space left on device"))
        True
        >>> is_disk_full(ValueError("no"))
        False
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def remove_stale_temporaries(folder: str | os.PathLike) -> list[Path]:
    """Delete temporary files in ``folder`` whose writing process no longer lives on this machine.

    Returns:
        The files that were removed.
    """
    removed = []
    for path in Path(folder).glob(".*.tmp"):
        match = _TEMPORARY.match(path.name)
        if match and not _is_alive(int(match.group(1))):
            with contextlib.suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; file systems that cannot do it say so and lose nothing else."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
