"""Fitting a grid to photographs, coarse to fine: rays of all photographs a step, squared error of colours.

After C. Sun et al., "Direct Voxel Grid Optimization", CVPR 2022, and S. Fridovich-Keil et al., "Plenoxels",
CVPR 2022; colours do not depend on the direction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import DataError, TrainingError
from dense3d.ops import grid_occupancy
from dense3d.radiance.grids.adam import GridAdam
from dense3d.radiance.grids.settings import GridSettings
from dense3d.radiance.grids.variation import add_variation_gradient
from dense3d.radiance.grids.voxel_field import VoxelField
from dense3d.radiance.rays import Pixels
from dense3d.radiance.resuming import require_same
from dense3d.radiance.views import PosedView

FIRST_DEPTH = 1.0  # optical depth of the longest side in the beginning
LOOK_EVERY = 16  # steps between two looks at which bricks are empty
SLABS = 8  # total variation is taken of one of so many slabs of planes a step


class GridFitter:
    """A grid on its way, with all that the next step depends on.

    Args:
        views: photographs to fit.
        box: (2, 3) corners of the inner box in the world.
        settings: how.
        near: distance from a camera within which nothing is, in world units.
        device: where the grid is.

    Attributes:
        kind: of scenes that it fits, for :class:`~dense3d.radiance.session.Session`.
        field: the grid.
        step: how many steps were made.

    Raises:
        DataError: there is no photograph.
    """

    kind = "a grid"

    def __init__(
        self,
        views: Sequence[PosedView],
        box: np.ndarray,
        settings: GridSettings,
        near: float = 0.0,
        device: str | torch.device = "cpu",
    ) -> None:
        if not views:
            raise DataError("there is no photograph to fit")
        first = settings.resolutions()[0]
        field = VoxelField.empty(np.asarray(box, float), first, settings.shell, FIRST_DEPTH, device)
        self._start(views, field, settings, near)

    def _start(
        self, views: Sequence[PosedView], field: VoxelField, settings: GridSettings, near: float
    ) -> None:
        self.views, self.settings, self.field, self.near, self.step = list(views), settings, field, near, 0
        self.pixels = Pixels(views, field.values.device)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self._take(field)

    def _take(self, field: VoxelField) -> None:
        self.field, self.adam = field, GridAdam(field.values)
        self.occupied = grid_occupancy(field.values)

    @property
    def source(self) -> VoxelField:
        """The field, which grids are sampled from."""
        return self.field

    @property
    def box(self) -> np.ndarray:
        """(2, 3) corners of all that the grid holds, in the world."""
        return torch.stack([self.field.low, self.field.low + self.field.sides]).numpy()

    @property
    def is_done(self) -> bool:
        """Whether all steps were made."""
        return self.step >= self.settings.steps

    def background(self) -> Tensor:
        """(3,) what lies behind the scene where it is evaluated."""
        return torch.full((3,), float(self.settings.background != "black"))

    def fit_one(self) -> tuple[float, float]:
        """One step; gives the loss and the PSNR in dB of the rays that it looked at.

        Raises:
            TrainingError: the loss is not finite.
        """
        settings = self.settings
        sides, level = settings.resolutions(), settings.level_at(self.step)
        if self.step and level != settings.level_at(self.step - 1):
            self._take(self.field.refined(sides[level]))
        if self.step % LOOK_EVERY == 0:
            self.occupied = grid_occupancy(self.field.values)
        batch = self.pixels.draw(settings.rays, self.generator)
        random = settings.background == "random"
        background = torch.rand(settings.rays, 3, generator=self.generator) if random else self.background()
        offsets = torch.rand(settings.rays, generator=self.generator)
        background, offsets = background.to(batch.colors), offsets.to(batch.colors)
        values = self.field.values.requires_grad_()
        found = self.field.render(
            batch.origins,
            batch.directions,
            background,
            voxels_a_sample=settings.voxels_a_sample,
            near=self.near,
            offsets=offsets,
            occupied=self.occupied,
            min_transmittance=settings.least_light,
        )
        loss = (found.values - batch.over(background)).square().sum() / 3
        mean = float(loss.detach()) / settings.rays
        if not math.isfinite(mean):
            raise TrainingError(
                f"the loss of step {self.step + 1} is {mean}: lower the learning rates, or look for poses "
                "that are wrong"
            )
        (grad,) = torch.autograd.grad(loss, values)
        self.field.values = values.detach()
        add_variation_gradient(grad, self.field.values, self._variation(), self._slab())
        rate = settings.rate_at(self.step)
        self.adam.step(grad, (*[rate * settings.color_lr] * 3, rate * settings.density_lr))
        self.step += 1
        return mean, -10 * math.log10(max(mean, 1e-10))

    def _variation(self) -> tuple[float, float, float, float]:
        color, density = self.settings.color_variation, self.settings.density_variation
        return (SLABS * color, SLABS * color, SLABS * color, SLABS * density)

    def _slab(self) -> slice:
        """One of eight slabs of planes; neighbours share a plane, so that all differences are taken."""
        count = len(self.field.values)
        slab = int(torch.randint(SLABS, (1,), generator=self.generator))
        return slice(count * slab // SLABS, count * (slab + 1) // SLABS + 1)

    def picture(self, view: PosedView, background: Tensor) -> Tensor:
        """(H, W, 3) in 0..1 of what a camera sees now, on the CPU."""
        return self.field.picture(
            view, background, near=self.near, voxels_a_sample=self.settings.voxels_a_sample
        )

    def size(self) -> str:
        """For a line of progress."""
        return f"{' x '.join(map(str, self.field.values.shape[:3]))} voxels"

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, as plain data and tensors."""
        return {
            "step": self.step,
            "near": self.near,
            "settings": self.settings.as_dict(),
            "views": {view.name: view.fingerprint() for view in self.views},
            "field": self.field.state(),
            "adam": self.adam.state(),
            "occupied": self.occupied,
            "generator": self.generator.get_state(),
        }

    @classmethod
    def resumed(
        cls,
        views: Sequence[PosedView],
        settings: GridSettings,
        state: dict[str, Any],
        device: str | torch.device = "cpu",
    ) -> GridFitter:
        """The fitter that gave a state, which goes on as if it had never stopped.

        Args:
            views: the same photographs.
            settings: the same.
            state: what :meth:`state` gave.
            device: see the class.

        Raises:
            CheckpointError: photographs or settings are others; says which.
        """
        require_same(views, settings, state)
        self = cls.__new__(cls)
        self._start(views, VoxelField.of_state(state["field"], device), settings, state["near"])
        self.step = state["step"]
        self.adam.load_state(state["adam"])
        self.occupied = state["occupied"].to(device)
        self.generator.set_state(state["generator"])
        return self
