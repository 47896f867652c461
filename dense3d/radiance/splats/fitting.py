"""Fitting Gaussians to photographs: one photograph a step, density control between steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dense3d.errors import DataError, TrainingError
from dense3d.radiance.losses import masked_photometric_loss, psnr
from dense3d.radiance.resuming import require_same
from dense3d.radiance.splats.density import DefaultStrategy
from dense3d.radiance.splats.exposure import Exposures
from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.splats.mcmc import MCMCStrategy
from dense3d.radiance.splats.rendering import render_view
from dense3d.radiance.splats.settings import FitSettings
from dense3d.radiance.splats.surgery import GaussianOptimizer
from dense3d.radiance.views import PosedView
from dense3d.structures import PointCloud

STRATEGIES = {"default": DefaultStrategy, "mcmc": MCMCStrategy}
INITIAL = {"default": (0.1, 1.0), "mcmc": (0.5, 0.1)}  # opacity and factor of the scale


class Fitter:
    """Gaussians on their way, with all that the next step depends on.

    Args:
        views: photographs to fit.
        points: with colours, where Gaussians begin.
        extent: of the scene, see :func:`~dense3d.radiance.extent.scene_extent`.
        settings: how.
        device: where Gaussians are; photographs stay on the CPU until they are looked at.

    Attributes:
        kind: of scenes that it fits, for :class:`~dense3d.radiance.session.Session`.
        gaussians: the scene.
        step: how many steps were made.

    Raises:
        DataError: there is no photograph, or there are fewer than four points.
    """

    kind = "splats"

    def __init__(
        self,
        views: Sequence[PosedView],
        points: PointCloud,
        extent: float,
        settings: FitSettings,
        device: str | torch.device = "cpu",
    ) -> None:
        if not views:
            raise DataError("there is no photograph to fit")
        settings = with_background(settings, views)
        opacity, scale = INITIAL[settings.strategy]
        gaussians = Gaussians.from_points(
            torch.from_numpy(points.points),
            torch.from_numpy(points.colors),
            settings.sh_degree,
            settings.initial_opacity or opacity,
            settings.initial_scale or scale,
            settings.antialiased,
        )
        self._start(views, gaussians.to(device), extent, settings)

    def _start(
        self, views: Sequence[PosedView], gaussians: Gaussians, extent: float, settings: FitSettings
    ) -> None:
        self.views, self.settings, self.extent, self.step = list(views), settings, extent, 0
        self.gaussians = gaussians
        self.optimizer = GaussianOptimizer(gaussians, settings, extent)
        self.strategy = STRATEGIES[settings.strategy](settings, extent, gaussians)
        device = gaussians.means.device
        self.exposures = Exposures(len(views), settings.steps, device) if settings.exposure else None
        self.generator = torch.Generator().manual_seed(settings.seed)
        self._order: list[int] = []

    @property
    def is_done(self) -> bool:
        """Whether all steps were made."""
        return self.step >= self.settings.steps

    def background(self, at_random: bool = False) -> Tensor:
        """(3,) what lies behind the scene; with ``at_random`` drawn anew where the settings say so."""
        if self.settings.background == "random":
            return torch.rand(3, generator=self.generator) if at_random else torch.ones(3)
        return torch.full((3,), float(self.settings.background == "white"))

    def fit_one(self) -> tuple[float, float]:
        """One step; gives the loss and the PSNR in dB of the photograph that it looked at.

        Raises:
            TrainingError: the loss is not finite.
        """
        if not self._order:
            self._order = torch.randperm(len(self.views), generator=self.generator).tolist()
        index = self._order.pop()
        view = self.views[index]
        background = self.background(at_random=True)
        image, _, info = self.gaussians.render(
            view.viewmat()[None],
            view.intrinsics()[None],
            view.camera.width,
            view.camera.height,
            self.settings.degree_at(self.step),
            background,
        )
        image = image[0]  # (H, W, 3)
        if self.exposures is not None:
            image = self.exposures.apply_to(image, index)
        target, usable = view.target(background).to(image.device), view.mask()
        usable = None if usable is None else usable.to(image.device)
        loss = masked_photometric_loss(image, target, usable, self.settings.ssim_weight)
        if isinstance(self.strategy, MCMCStrategy):
            loss = loss + self.strategy.penalty(self.gaussians)
        value = float(loss.detach())
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss of step {self.step + 1} ({view.name}) is {value}: lower the learning rates, or "
                "look for pixels or poses of that photograph that are wrong"
            )
        self.strategy.before_backward(info)
        loss.backward()
        self.step += 1
        self.strategy.after_backward(self.step, info)
        self.optimizer.step(self.step)
        if self.exposures is not None:
            self.exposures.step(self.step)
        self.strategy.after_step(self.step, self.optimizer, self.generator)
        return value, psnr(image.detach().clamp(0, 1), target, usable)

    def picture(self, view: PosedView, background: Tensor) -> Tensor:
        """(H, W, 3) in 0..1 of what a camera sees now, with the degree of colours that is in use."""
        return render_view(self.gaussians, view, background, self.settings.degree_at(self.step))

    def size(self) -> str:
        """For a line of progress."""
        return f"{len(self.gaussians):,} Gaussians"

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, as plain data and tensors."""
        return {
            "step": self.step,
            "extent": self.extent,
            "settings": self.settings.as_dict(),
            "views": {view.name: view.fingerprint() for view in self.views},
            "gaussians": {name: value.detach() for name, value in self.gaussians.tensors().items()},
            "optimizer": self.optimizer.state(),
            "strategy": self.strategy.state(),
            "exposures": None if self.exposures is None else self.exposures.state(),
            "generator": self.generator.get_state(),
            "order": list(self._order),
        }

    @classmethod
    def resumed(
        cls,
        views: Sequence[PosedView],
        settings: FitSettings,
        state: dict[str, Any],
        device: str | torch.device = "cpu",
    ) -> Fitter:
        """The fitter that gave a state, which goes on as if it had never stopped.

        Args:
            views: the same photographs.
            settings: the same.
            state: what :meth:`state` gave.
            device: see the class.

        Raises:
            CheckpointError: photographs or settings are others; says which.
        """
        settings = with_background(settings, views)
        require_same(views, settings, state)
        self = cls.__new__(cls)
        gaussians = Gaussians(state["gaussians"], settings.antialiased).to(device)
        self._start(views, gaussians, state["extent"], settings)
        self.step = state["step"]
        self.optimizer.load_state(state["optimizer"])
        self.strategy.load_state(state["strategy"])
        if self.exposures is not None:
            self.exposures.load_state(state["exposures"])
        self.generator.set_state(state["generator"])
        self._order = list(state["order"])
        return self


def with_background(settings: FitSettings, views: Sequence[PosedView]) -> FitSettings:
    """Settings that name the background: random behind objects alone, so that the rest stays empty."""
    if settings.background is not None:
        return settings
    has_alpha = any(view.alpha is not None for view in views)
    return replace(settings, background="random" if has_alpha else "black")
