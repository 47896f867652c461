"""A temporary folder for the caches of libraries where there is no home folder to hold them.

In containers and on clusters a process may have no home folder, or one that cannot be written. Libraries then
fail when they are imported, warn, or make a folder named ``~`` where the process happens to run.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

# what names a library's folder, and where that is otherwise, below the home folder
CACHES = {
    "HF_HOME": ".cache/huggingface",
    "MPLCONFIGDIR": ".config/matplotlib",
    "TORCH_HOME": ".cache/torch",
    "TRITON_CACHE_DIR": ".triton/cache",
}


def prepare_cache_folders() -> None:
    """Where the home folder cannot be written, name a temporary folder to the libraries that keep caches.

    What is set in the environment stays, and so does a library's folder in a home that can only be read:
    weights that an image of a container brings along are found. The folder is removed when the process ends.

    Example:
        >>> prepare_cache_folders()
    """
    home = _home()
    if home is None:
        needed = [*CACHES, "XDG_CACHE_HOME"]
    elif home.is_dir() and os.access(home, os.W_OK):
        return
    else:
        needed = [name for name, place in CACHES.items() if not (home / place).is_dir()]
    needed = [name for name in needed if not os.environ.get(name)]
    if os.environ.get("XDG_CACHE_HOME"):  # both libraries look there next
        needed = [name for name in needed if name not in ("HF_HOME", "TORCH_HOME")]
    if not needed:
        return
    with contextlib.suppress(OSError):  # no temporary folder either: each library says what it misses
        folder = tempfile.mkdtemp(prefix="dense3d-caches-")
        for name in needed:
            os.environ[name] = str(Path(folder) / name.lower())
        atexit.register(_remove, folder, os.getpid())


def _home() -> Path | None:
    """``None`` for a user without an entry, whose "~" stays as it is."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def _remove(folder: str, owner: int) -> None:
    """Forked processes inherit the exit handler, but not the folder."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
