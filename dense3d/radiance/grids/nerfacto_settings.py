"""A nerfacto that trains on a CPU: a smaller field and fewer samples than nerfstudio's own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dense3d.errors import ConfigError


@dataclass(frozen=True)
class NerfactoSettings:
    """Settings of :class:`~dense3d.radiance.grids.nerfacto_fitting.NerfactoFitter`.

    Args:
        steps: optimisation steps.
        rays: of each step.
        shell: above 0, all of space is in the field (contraction by the maximum norm), else the box alone.
        background: ``"black"``, ``"white"`` or ``"random"``.
        levels, table, finest: of the hash grid: levels, log2 of entries, resolution of the finest one.
        hidden: width of both networks.
        proposals: samples of the two proposal networks along a ray.
        samples: of the field along a ray.
        lr: learning rate; it falls log-linearly to a hundredth.
        distortion: weight of the distortion loss.
        seed: of all randomness.

    Raises:
        ConfigError: a value is out of range.
    """

    steps: int = 1500
    rays: int = 1024
    shell: float = 0.0
    background: str = "black"
    levels: int = 10
    table: int = 16
    finest: int = 512
    hidden: int = 32
    proposals: tuple[int, int] = (64, 32)
    samples: int = 24
    lr: float = 1e-2
    distortion: float = 0.002
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "rays", "levels", "table", "hidden", "samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: it is at least 1")
        if self.background not in ("black", "white", "random"):
            raise ConfigError(f"background={self.background!r} is none of black, white, random")
        if self.seed < 0 or self.shell < 0:
            raise ConfigError(f"seed={self.seed}, shell={self.shell}: they are at least 0")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and reports."""
        return {**asdict(self), "proposals": list(self.proposals)}
