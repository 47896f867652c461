"""All that the fit of a grid depends on beside its photographs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from dense3d.errors import ConfigError

LEAST_SIDE = 8  # voxels along the longest side of the coarsest grid
BYTES_A_VOXEL = 72  # four values with gradients and two moments in float32, and occupied bricks
POSITIVE = ("density_lr", "color_lr", "voxels_a_sample")
NOT_NEGATIVE = ("density_variation", "color_variation", "shell", "least_light")


@dataclass(frozen=True)
class GridSettings:
    """Settings of :class:`~dense3d.radiance.grids.fitting.GridFitter`.

    Args:
        steps: optimisation steps.
        rays: of each step, from all photographs.
        resolution: voxels along the longest side of the grid in the end, the shell among them.
        levels: the grid begins with the resolution halved so many times less one, and is refined between.
        shell: part of the inner box's half that shows all that is outside of it; 0: nothing is outside.
        background: ``"black"``, ``"white"``, or ``"random"``, which keeps what has no surface transparent.
        voxels_a_sample: length of the intervals along rays.
        density_lr, color_lr: learning rates at the beginning, in optical depth of a voxel and in 0..1; they
            fall to a tenth.
        density_variation, color_variation: weights of total variation, beside a loss that is summed over
            the rays of a step.
        least_light: where less is left, rays end.
        seed: of all randomness.

    Raises:
        ConfigError: a value is out of range.
    """

    steps: int = 3000
    rays: int = 4096
    resolution: int = 160
    levels: int = 3
    shell: float = 0.0
    background: str = "black"
    voxels_a_sample: float = 0.75
    density_lr: float = 0.3
    color_lr: float = 0.03
    density_variation: float = 1e-4
    color_variation: float = 1e-4
    least_light: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "rays", "levels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: it is at least 1")
        if self.resolution < LEAST_SIDE:
            raise ConfigError(f"resolution={self.resolution}: a grid has at least {LEAST_SIDE} voxels a side")
        if self.background not in ("black", "white", "random"):
            raise ConfigError(f"background={self.background!r} is none of black, white, random")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: it is at least 0")
        for name in POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)}: it is finite and above 0")
        for name in NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)}: it is finite and at least 0")

    def resolutions(self) -> list[int]:
        """Voxels along the longest side at each level, coarse to fine.

        Example:
            >>> GridSettings(resolution=160, levels=3).resolutions()
            [40, 80, 160]
            >>> GridSettings(resolution=16, levels=4).resolutions()
            [8, 16]
        """
        sides = [self.resolution // 2**level for level in reversed(range(self.levels))]
        return [side for side in sides if side >= LEAST_SIDE]

    def level_at(self, step: int) -> int:
        """Level of a step: each takes as many steps as all coarser ones together, the finest half of all.

        Example:
            >>> [GridSettings(steps=100).level_at(step) for step in (0, 24, 25, 49, 50, 99)]
            [0, 0, 1, 1, 2, 2]
        """
        last = len(self.resolutions()) - 1
        return sum(step >= self.steps / 2**before for before in range(1, last + 1))

    def rate_at(self, step: int) -> float:
        """Factor of the learning rates: it falls log-linearly to a tenth."""
        return 0.1 ** (step / self.steps)

    def bytes_needed(self) -> int:
        """Memory of a cubic grid of the finest level while it is fitted, at most."""
        return self.resolution**3 * BYTES_A_VOXEL

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and reports."""
        return asdict(self)
