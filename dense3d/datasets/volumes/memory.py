"""How much memory a volume may take on this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from dense3d.errors import DataError

SHARE = 0.5  # of what is free: features and classifications need room, too
CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Memory that can be had without swapping, also inside a container; 4 GiB where nothing tells."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        limit = int((CGROUP / "memory.max").read_text())
        found.append(max(limit - int((CGROUP / "memory.current").read_text()), 0))
    return min(found, default=2**32)


def budget_bytes() -> int:
    """What one volume may take."""
    return int(available_bytes() * SHARE)


def readable_size(count: int) -> str:
    """Bytes for a person.

    Example:
        >>> readable_size(2**31), readable_size(300)
        ('2.0 GiB', '300 bytes')
    """
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.1f} {unit}"
    return f"{count} bytes"


def require_memory(path: str, needed: int) -> None:
    """Refuse what would not fit.

    Raises:
        DataError: it would take more than half of the memory that is free.
    """
    budget = budget_bytes()
    if needed > budget:
        raise DataError(
            f"{path}: its header declares {readable_size(needed)}, more than the {readable_size(budget)} "
            "that may be used here; free some memory, or save it at a lower resolution"
        )
