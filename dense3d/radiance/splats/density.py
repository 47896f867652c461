"""Density control of Gaussian splatting: clone, split, prune, reset (Kerbl et al., 2023, section 5.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dense3d.ops.gaussian_projection import rotations_of
from dense3d.ops.gaussian_rasterization import GaussianInfo
from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.splats.settings import FitSettings
from dense3d.radiance.splats.surgery import GaussianOptimizer

SPLIT_FROM, PRUNE_FROM = 0.01, 0.1  # largest scale relative to the extent: split above, removed above
LEAST_OPACITY = 0.005
RESET_TO = 0.01
PIECES = 2
SHRINK = 0.8 * PIECES
START, END = 500, 15_000  # published steps between which the number changes


class DefaultStrategy:
    """Adds Gaussians where the image pulls at them, removes those that are nearly transparent or huge.

    Args:
        settings: schedule, threshold and cap.
        extent: of the scene.
        gaussians: as the fit begins.
    """

    def __init__(self, settings: FitSettings, extent: float, gaussians: Gaussians) -> None:
        self.settings, self.extent = settings, extent
        self.start, self.end = settings.scaled(START), settings.scaled(END)
        self._clear(gaussians)

    def _clear(self, gaussians: Gaussians) -> None:
        self.gradients, self.seen = (torch.zeros_like(gaussians.opacity_logits.detach()) for _ in range(2))

    def before_backward(self, info: GaussianInfo) -> None:
        """Ask for the gradient in the image plane."""
        info.means2d.retain_grad()

    @torch.no_grad()
    def after_backward(self, step: int, info: GaussianInfo) -> None:
        """Note how far the loss pulls each visible Gaussian, in units of half the image."""
        if step >= self.end or info.means2d.grad is None:
            return
        scale = info.means2d.new_tensor([info.width / 2, info.height / 2]) * len(info.means2d)
        pull = (info.means2d.grad * scale).norm(dim=-1)  # (C, N)
        self.gradients += torch.where(info.visible, pull, 0).sum(0)
        self.seen += info.visible.sum(0)

    @torch.no_grad()
    def after_step(self, step: int, optimizer: GaussianOptimizer, generator: torch.Generator) -> None:
        """Change the number of Gaussians where the schedule says so.

        Args:
            step: the one that was just made, from 1.
            optimizer: of the Gaussians.
            generator: draws the places of split Gaussians.
        """
        if step >= self.end:
            return
        if step > self.start and step % self.settings.refine_every == 0:
            self._grow(optimizer, generator)
            self._prune(step, optimizer)
            self._clear(optimizer.gaussians)
        white = self.settings.background == "white" and step == self.start
        every = self.settings.reset_every
        if every is not None and (step % every == 0 or white):
            logits = optimizer.gaussians.opacity_logits.detach()
            optimizer.overwrite("opacity_logits", logits.clamp(max=math.log(RESET_TO / (1 - RESET_TO))))

    def _grow(self, optimizer: GaussianOptimizer, generator: torch.Generator) -> None:
        gaussians = optimizer.gaussians
        mean = self.gradients / self.seen.clamp(min=1)
        wanted = mean >= self.settings.grow_gradient
        if self.settings.cap is not None:  # those that are pulled most, as far as there is room
            room = max(self.settings.cap - len(gaussians), 0)
            order = torch.where(wanted, mean, -1).argsort(descending=True, stable=True)
            wanted = wanted & torch.zeros_like(wanted).index_fill_(0, order[:room], True)
        large = gaussians.scales.max(dim=1).values > SPLIT_FROM * self.extent
        clones = {name: value.detach()[wanted & ~large] for name, value in gaussians.tensors().items()}
        split = wanted & large
        pieces = split_gaussians(
            {name: value.detach()[split] for name, value in gaussians.tensors().items()}, generator
        )
        optimizer.append({name: torch.cat([clones[name], pieces[name]]) for name in clones})
        whole = torch.ones(len(gaussians), dtype=torch.bool, device=split.device)
        whole[: len(split)] = ~split
        optimizer.keep(whole)

    def _prune(self, step: int, optimizer: GaussianOptimizer) -> None:
        gaussians = optimizer.gaussians
        kept = gaussians.opacities >= LEAST_OPACITY
        every = self.settings.reset_every
        if every is not None and step > every:  # before, much of the scene may still be large
            kept &= gaussians.scales.max(dim=1).values <= PRUNE_FROM * self.extent
        if not kept.any():  # nothing would be left to fit with
            kept[gaussians.opacities.argmax()] = True
        optimizer.keep(kept)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"gradients": self.gradients, "seen": self.seen}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        self.gradients, self.seen = (state[name].clone().to(self.seen) for name in ("gradients", "seen"))


def split_gaussians(rows: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Two Gaussians for each: at places drawn from it, smaller by 1.6, otherwise the same.

    Args:
        rows: raw parameters by name.
        generator: of the CPU, draws the places.
    """
    twice = {name: value.repeat(PIECES, *[1] * (value.ndim - 1)) for name, value in rows.items()}
    draws = torch.randn(twice["means"].shape, generator=generator).to(twice["means"])
    draws = draws * twice["log_scales"].exp()
    twice["means"] = twice["means"] + (rotations_of(twice["quats"]) @ draws[..., None])[..., 0]
    twice["log_scales"] = twice["log_scales"] - math.log(SHRINK)
    return twice
