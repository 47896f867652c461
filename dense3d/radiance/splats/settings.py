"""All that a fit depends on beside its photographs, and how steps of the published schedule are scaled."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from dense3d.errors import ConfigError, did_you_mean

PUBLISHED_STEPS = 30_000
STRATEGIES = ("default", "mcmc")
BACKGROUNDS = ("black", "white", "random")
LEAST_RESET_EVERY = 500  # Adam takes some 150 steps to lead an opacity back
NOT_NEGATIVE = (
    *("haste", "means_lr", "log_scales_lr", "quats_lr", "opacity_logits_lr", "sh0_lr"),
    *("grow_gradient", "noise"),
)
LEAST_REFINE_EVERY = 25  # steps between two changes of the number of Gaussians, however short the fit


@dataclass(frozen=True)
class FitSettings:
    """Settings of :class:`~dense3d.radiance.splats.fitting.Fitter`; the defaults are the published ones.

    Steps at which something happens are those of a fit of 30,000 steps, scaled to ``steps``.

    Args:
        steps: optimisation steps, one photograph each.
        strategy: ``"default"``, density control of Kerbl et al., or ``"mcmc"`` of Kheradmand et al. (2024).
        cap: largest number of Gaussians; None leaves it to the strategy (``"default"`` has no bound then).
        sh_degree: of the colours, 0 to 3.
        antialiased: with the filter of Mip-Splatting.
        background: ``"black"``, ``"white"``, or ``"random"``, which keeps what has no surface transparent and
            is white in evaluation. None takes random where photographs have alpha channels, else black.
        exposure: fit an affine map of the colours for each photograph, which evaluation leaves out.
        ssim_weight: share of 1 - SSIM in the loss.
        haste: exponent with which learning rates, but that of opacities, grow as the fit is shorter than the
            published one: they are multiplied by ``(30000 / steps) ** haste``.
        means_lr, log_scales_lr, quats_lr, opacity_logits_lr, sh0_lr: learning rates; that of means is
            multiplied by the scene's extent and falls to a hundredth; higher degrees have a twentieth of
            sh0's.
        grow_gradient: screen-space gradient from which a Gaussian is cloned or split.
        noise: of MCMC's walk.
        initial_opacity, initial_scale: of the first Gaussians; None takes 0.1 and 1, with MCMC 0.5 and 0.1.
        seed: of all randomness.

    Raises:
        ConfigError: a value is out of range.
    """

    steps: int = PUBLISHED_STEPS
    strategy: str = "default"
    cap: int | None = None
    sh_degree: int = 3
    antialiased: bool = False
    background: str | None = None
    exposure: bool = False
    ssim_weight: float = 0.2
    haste: float = 0.5
    means_lr: float = 1.6e-4
    log_scales_lr: float = 5e-3
    quats_lr: float = 1e-3
    opacity_logits_lr: float = 0.05
    sh0_lr: float = 2.5e-3
    grow_gradient: float = 2e-4
    noise: float = 5e5
    initial_opacity: float | None = None
    initial_scale: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            hint = did_you_mean(self.strategy, STRATEGIES)
            raise ConfigError(f"strategy={self.strategy!r} is none of {', '.join(STRATEGIES)}{hint}")
        if self.steps < 1 or (self.cap is not None and self.cap < 1):
            raise ConfigError(f"steps={self.steps}, cap={self.cap}: they are at least 1")
        if self.sh_degree not in range(4):
            raise ConfigError(f"sh_degree={self.sh_degree} is none of 0, 1, 2, 3")
        if self.background not in (None, *BACKGROUNDS):
            raise ConfigError(f"background={self.background!r} is none of {', '.join(BACKGROUNDS)}")
        if not 0 <= self.ssim_weight <= 1:
            raise ConfigError(f"ssim_weight={self.ssim_weight} lies in 0..1")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: it is at least 0")
        if self.initial_opacity is not None and not 0 < self.initial_opacity < 1:
            raise ConfigError(f"initial_opacity={self.initial_opacity} lies between 0 and 1")
        if self.initial_scale is not None and not 0 < self.initial_scale < math.inf:
            raise ConfigError(f"initial_scale={self.initial_scale}: it is positive")
        for name in NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)}: it is finite and at least 0")

    def scaled(self, step: int) -> int:
        """A step of the published schedule in this fit, at least 1.

        Example:
            >>> FitSettings(steps=3000).scaled(15_000)
            1500
        """
        return max(1, round(step * self.steps / PUBLISHED_STEPS))

    @property
    def refine_every(self) -> int:
        """Steps between two changes of the number of Gaussians."""
        return max(self.scaled(100), LEAST_REFINE_EVERY)

    @property
    def reset_every(self) -> int | None:
        """Steps between two resets of opacities; None in fits too short for them to recover."""
        every = self.scaled(3000)
        return every if every >= LEAST_RESET_EVERY else None

    def degree_at(self, step: int) -> int:
        """Degree of the colours that is used: one more every 1000 published steps."""
        return min(self.sh_degree, step // self.scaled(1000))

    @property
    def rate_factor(self) -> float:
        """What learning rates are multiplied by in a fit shorter than the published one.

        Example:
            >>> FitSettings(steps=1200).rate_factor, FitSettings(steps=60_000).rate_factor
            (5.0, 1.0)
        """
        return max(1.0, PUBLISHED_STEPS / self.steps) ** self.haste

    def means_lr_at(self, step: int) -> float:
        """Learning rate of means, relative to the extent: it falls log-linearly to a hundredth."""
        return self.means_lr * self.rate_factor * 0.01 ** (step / self.steps)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and reports."""
        return asdict(self)
