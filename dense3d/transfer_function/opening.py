"""A volume or its file -> a workspace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from dense3d.errors import ConfigError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.workspace import WORKING_LIMIT, Workspace

if TYPE_CHECKING:
    from dense3d.datasets.volumes import RawLayout


def open(
    volume: str | os.PathLike | Volume | np.ndarray,
    *,
    frame: int | None = None,
    raw: str | RawLayout | None = None,
    limit: int = WORKING_LIMIT,
    method: str | None = None,
    checkpoint: str | os.PathLike | None = None,
    session: str | os.PathLike | None = None,
) -> Workspace:
    """Open a volume to find structures in it.

    Args:
        volume: a file or DICOM folder of any format that :func:`dense3d.datasets.volumes.open_volume` reads,
            a volume, or an (X, Y, Z) or (X, Y, Z, T) array whose voxels are cubes of 1 mm.
        frame: which volume of a series, from 0.
        raw: layout of a file without a header, such as ``"512x512x300:uint16"``.
        limit: the most voxels along an axis of the working grid.
        method: how marks are turned into scores; the default unless given.
        checkpoint: weights of an image backbone, for methods that look through one.
        session: a file to keep the work in: what it holds is taken up, and every change is saved to it.

    Raises:
        DataError: the volume or the session cannot be read, or the session is of another volume.
        ConfigError: an option is not possible.

    Example:
        >>> values = np.zeros((8, 8, 8), np.int16)
        >>> values[2:5, 2:5, 2:5] = 100
        >>> with open(values) as workspace:
        ...     cube = workspace.add_class("cube")
        ...     step = workspace.click(cube, (3, 3, 3))
        ...     int((workspace.labels() == cube).sum()) > 0
        True
    """
    from dense3d.datasets.volumes import RawLayout, open_volume, volume_of

    if isinstance(volume, np.ndarray):
        volume = volume_of(volume, frame=frame)
    elif isinstance(volume, (str, os.PathLike)):
        layout = RawLayout.parse(raw) if isinstance(raw, str) else raw
        volume = open_volume(volume, frame=frame, raw=layout)
    elif not isinstance(volume, Volume):
        raise ConfigError(
            f"a volume is a path, an (X, Y, Z) NumPy array or a Volume, not {type(volume).__name__}; "
            "make it a NumPy array first"
        )
    workspace = Workspace(volume, limit=limit, method=method, checkpoint=checkpoint)
    if session is not None:
        workspace.keep_in(session)
    return workspace
