"""Gaussian splatting as Markov chain Monte Carlo (Kheradmand et al., NeurIPS 2024).

Gaussians walk at random, the less opaque the farther; dead ones move to where opaque ones are, whose opacity
and size are then shared such that the image hardly changes; their number grows by a twentieth up to the cap.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dense3d.ops.gaussian_rasterization import GaussianInfo
from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.splats.settings import FitSettings
from dense3d.radiance.splats.surgery import GaussianOptimizer

CAP = 1_000_000
START, END = 500, 25_000  # published steps between which Gaussians are moved and added
LEAST_OPACITY = 0.005
GROWTH = 1.05
MOST_COPIES = 51
STEEPNESS, THRESHOLD = 100.0, 0.995  # of the share of the walk that a transparency allows
REGULARISATION = 0.01  # of the mean opacity, and of the mean scale


class MCMCStrategy:
    """Relocation, growth up to the cap, and noise.

    The published walk has scales of a scene of extent 1; here sizes are taken relative to the extent, so that
    a fit in millimetres is the same as in metres.

    Args:
        settings: schedule, cap and noise.
        extent: of the scene.
        gaussians: as the fit begins.
    """

    def __init__(self, settings: FitSettings, extent: float, gaussians: Gaussians) -> None:
        self.settings, self.extent = settings, extent
        self.cap = settings.cap or CAP
        self.start, self.end = settings.scaled(START), settings.scaled(END)

    def before_backward(self, info: GaussianInfo) -> None:
        """Nothing: this strategy looks at no gradient."""

    def after_backward(self, step: int, info: GaussianInfo) -> None:
        """Nothing, as above."""

    def penalty(self, gaussians: Gaussians) -> Tensor:
        """What is added to the loss, so that Gaussians that are not needed fade: a scalar."""
        return REGULARISATION * (gaussians.opacities.mean() + gaussians.scales.mean() / self.extent)

    @torch.no_grad()
    def after_step(self, step: int, optimizer: GaussianOptimizer, generator: torch.Generator) -> None:
        """Move dead Gaussians, add some, and let all walk.

        Args:
            step: the one that was just made, from 1.
            optimizer: of the Gaussians.
            generator: of the random choices.
        """
        gaussians = optimizer.gaussians
        if self.start < step < self.end and step % self.settings.refine_every == 0:
            self._relocate(optimizer, generator)
            self._add(optimizer, generator)
        rate = self.settings.noise * self.settings.means_lr_at(step) / self.settings.rate_factor / self.extent
        transparency = 1 - gaussians.opacities
        share = torch.sigmoid(STEEPNESS * (transparency - THRESHOLD))  # (N,)
        noise = torch.randn(gaussians.means.shape, generator=generator).to(share) * (share * rate)[:, None]
        gaussians.means += (gaussians.covariances() @ noise[..., None])[..., 0]

    def _relocate(self, optimizer: GaussianOptimizer, generator: torch.Generator) -> None:
        gaussians = optimizer.gaussians
        dead = (gaussians.opacities <= LEAST_OPACITY).nonzero()[:, 0]
        alive = (gaussians.opacities > LEAST_OPACITY).nonzero()[:, 0]
        if not len(dead) or not len(alive):
            return
        sources = alive[_drawn(gaussians.opacities[alive], len(dead), generator)]
        self._share(optimizer, sources)
        for name, value in gaussians.tensors().items():
            changed = value.detach().clone()
            changed[dead] = changed[sources]
            optimizer.overwrite(name, changed, torch.cat([sources, dead]))

    def _add(self, optimizer: GaussianOptimizer, generator: torch.Generator) -> None:
        gaussians = optimizer.gaussians
        count = min(self.cap, int(GROWTH * len(gaussians))) - len(gaussians)
        if count <= 0:
            return
        sources = _drawn(gaussians.opacities, count, generator)
        self._share(optimizer, sources)
        optimizer.append({name: value.detach()[sources] for name, value in gaussians.tensors().items()})

    @staticmethod
    def _share(optimizer: GaussianOptimizer, sources: Tensor) -> None:
        """Give ``sources`` the opacity and size with which they and their copies look as they did alone."""
        gaussians = optimizer.gaussians
        copies = 1 + torch.bincount(sources, minlength=len(gaussians))[sources]
        opacities, scales = relocated(gaussians.opacities[sources], gaussians.scales[sources], copies)
        logits, log_scales = gaussians.opacity_logits.detach().clone(), gaussians.log_scales.detach().clone()
        logits[sources] = opacities.logit()
        log_scales[sources] = scales.log()
        optimizer.overwrite("opacity_logits", logits, sources)
        optimizer.overwrite("log_scales", log_scales, sources)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: nothing, since only the settings matter."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Nothing to take over."""


def relocated(opacities: Tensor, scales: Tensor, copies: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity and scales of each of several equal Gaussians that together look like one (equation 9).

    Args:
        opacities: (N,) of the one.
        scales: (N, 3) of the one.
        copies: (N,) whole numbers, how many there will be; at most 51 count.

    Example:
        >>> o, s = relocated(torch.tensor([0.75]), torch.ones(1, 3), torch.tensor([2]))
        >>> o.item(), round(s[0, 0].item(), 4)
        (0.5, 0.9111)
    """
    copies = copies.clamp(1, MOST_COPIES)
    new = 1 - (1 - opacities) ** (1 / copies)
    new = new.clamp(LEAST_OPACITY, 1 - 1e-7)
    total = torch.zeros_like(new, dtype=torch.float64)
    wide = new.double()
    for i in range(1, int(copies.max()) + 1):
        inner = sum(math.comb(i - 1, k) * (-1) ** k / math.sqrt(k + 1) * wide ** (k + 1) for k in range(i))
        total += torch.where(i <= copies, inner, 0.0)
    return new, scales * (opacities.double() / total).float()[:, None]


def _drawn(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices drawn in proportion to weights, with repetition; torch.multinomial takes 2^24 at most."""
    sums = weights.double().cumsum(0)
    places = torch.rand(count, generator=generator, dtype=torch.float64).to(sums) * sums[-1]
    return torch.searchsorted(sums, places, right=True).clamp(max=len(weights) - 1)
