"""Where the work on a volume is kept: a session file beside it, or in the current folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dense3d.errors import ConfigError

if TYPE_CHECKING:
    from dense3d.transfer_function.workspace import Workspace


def session_place(volume: str | os.PathLike, frame: int | None = None) -> Path | None:
    """The session file of a volume; None where neither its folder nor the current one can be written to.

    Args:
        volume: file or folder.
        frame: of a series; those after the first have files of their own.
    """
    from dense3d.files import require_writable_file

    path = Path(os.path.abspath(volume))  # noqa: PTH100 - a link keeps its folder, ".." goes
    name = f"{path.name}.frame{frame}" if frame else path.name
    for folder in (path.parent, Path.cwd()):
        place = folder / f"{name}.session.json"
        try:
            require_writable_file(place)
        except ConfigError:
            continue
        return place
    return None


def other_place(place: Path, workspace: Workspace) -> Path:
    """A session file for a volume whose own name is taken: by another layout of a raw file, or a file that
    was replaced by one of the same name."""
    stem = place.name.removesuffix(".session.json")
    return place.with_name(f"{stem}.{workspace.identity.digest[:8]}.session.json")
