"""Whether a grid fits into memory, before anything is begun."""

from __future__ import annotations

import math

import numpy as np

from dense3d.datasets.volumes.memory import available_bytes, readable_size
from dense3d.errors import ConfigError
from dense3d.radiance.grids.boxes import grid_shape
from dense3d.radiance.grids.settings import BYTES_A_VOXEL

SAMPLED_BYTES = 96  # a voxel of the grid that is written: its values, opacities and pictures
SHARE = 0.8  # of what is free


def require_room(box: np.ndarray, resolution: int, fitted: np.ndarray | None, fit_resolution: int) -> int:
    """Bytes that a grid takes at most, and its fit before that.

    Args:
        box: (2, 3) of the grid that is written.
        resolution: along its longest side.
        fitted: (2, 3) box of the grid that is fitted, the shell included; None if there is no fit.
        fit_resolution: along its longest side.

    Raises:
        ConfigError: it is more than what is free; says how many voxels would fit.
    """
    sampled = math.prod(grid_shape(box, resolution)) * SAMPLED_BYTES
    fit = 0 if fitted is None else math.prod(grid_shape(fitted, fit_resolution)) * BYTES_A_VOXEL
    needed, room = max(sampled, fit), int(SHARE * available_bytes())
    if needed > room:
        shrink = (room / needed) ** (1 / 3)
        options = f"--resolution {_less(resolution, shrink)}"
        if fit > room:
            options += f" and --fit-resolution {_less(fit_resolution, shrink)}"
        raise ConfigError(
            f"a grid of {' x '.join(map(str, grid_shape(box, resolution)))} voxels takes about "
            f"{readable_size(needed)} with its fit, and {readable_size(room)} are free: take {options}, or a "
            "smaller box"
        )
    return needed


def _less(resolution: int, shrink: float) -> int:
    return max(8, int(resolution * shrink) // 8 * 8)
