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

from dense3d.errors import ConfigError, DataError, Dense3dError

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")  # no file name has them, and messages would break
_TEMPORARY = re.compile(r"^\..+\.(\d+)\.[0-9a-f]{8}\.tmp$")


class OutsideError(DataError):
    """A file name that stands in data leads out of the folder that files are written to."""


class DiskFullError(Dense3dError, OSError):
    """No space (or no quota) is left where a file was to be written; nothing was replaced."""


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "wb", encoding: str | None = None) -> Iterator[IO]:
    """Open a temporary file beside ``path`` that takes its place when the block ends without an error.

    Args:
        path: the file to create or replace; its folder is created if needed. A device or a pipe is written
            to as it is.
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
    if path.exists() and not path.is_file():
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        with path.open(mode, encoding=(encoding or "utf-8") if mode == "w" else None) as file:
            yield file  # a device or a pipe, such as /dev/stdout, whose place no file may take
        return
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


def inside(folder: str | os.PathLike, name: str, where: str | os.PathLike = "", remedy: str = "") -> Path:
    """``folder / name`` for a name that stands in data, if that is a place in the folder.

    Whoever writes files whose names an annotation file gives goes through here: an absolute name, one with
    ``..`` or one that a link in the folder leads out of it would replace files elsewhere.

    Args:
        folder: where files may be written; it need not exist.
        name: a relative path, with ``/`` between its parts.
        where: file and item that the name comes from, for the message.
        remedy: what to do about it.

    Raises:
        OutsideError: the name leads out of the folder, or names no file.

    Example:
        >>> inside("out", "a/b.png").as_posix()
        'out/a/b.png'
        >>> inside("out", "../b.png", "maps.json")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        dense3d.files.OutsideError: maps.json: the file name '../b.png' leads out of out; make it ...
    """
    folder, prefix = Path(folder), f"{where}: " if str(where) else ""
    is_name = isinstance(name, str) and name.strip() and not CONTROL.search(name)
    parts = re.split(r"[/\\\\]", name) if is_name else []
    if not is_name or parts[-1] in ("", "."):
        raise OutsideError(f"{prefix}the file name {str(name)[:80]!r} names no file; correct it there")
    target = folder / name
    leads_out = parts[0] == "" or ".." in parts or re.match(r"[A-Za-z]:", name) or Path(name).is_absolute()
    if leads_out or not target.resolve().is_relative_to(folder.resolve()):
        remedy = remedy or "make it relative to that folder"
        raise OutsideError(f"{prefix}the file name {name[:200]!r} leads out of {folder}; {remedy}")
    return target


def is_file(path: str | os.PathLike) -> bool:
    """Whether ``path`` is a file; no is the answer, where pathlib raises, for a name too long to be one.

    Example:
        >>> is_file("x" * 5000)
        False
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | os.PathLike) -> bool:
    """The same for a folder.

    Example:
        >>> is_folder("x" * 5000)
        False
    """
    return os.path.isdir(path)  # noqa: PTH112


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
        if match and not is_alive(int(match.group(1))):
            with contextlib.suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs on this machine."""
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
