"""Training nerfstudio's nerfacto field on photographs, from its parts (extra ``nerf``).

M. Tancik et al., "Nerfstudio", SIGGRAPH 2023. Its ``Model`` classes fetch weights of a metric when they are
built, and its occupancy grids need CUDA: field, proposal networks, sampler and losses do without either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dense3d.errors import DataError, TrainingError
from dense3d.ops.volume_rendering_rays import intersect_box
from dense3d.optional import require
from dense3d.radiance.grids.nerfacto_settings import NerfactoSettings
from dense3d.radiance.grids.nerfstudio_source import PURPOSE, NerfstudioSource
from dense3d.radiance.rays import Pixels, view_rays
from dense3d.radiance.resuming import require_same
from dense3d.radiance.views import PosedView

LAST_RATE = 0.01
FAR = 100.0  # of contracted fields, in halves of the box
INITIAL_DENSITY = {True: 0.01, False: 1.0}  # of contracted fields, as nerfstudio sets it, and of others
ANNEALED, SLOPE = 0.1, 10.0  # share of the steps in which proposals sharpen (Mip-NeRF 360, equation 18)
RAYS_AT_ONCE = 1 << 12


class NerfactoFitter:
    """A field on its way, with all that the next step depends on.

    Args:
        views: photographs to fit.
        box: (2, 3) corners in the world: what the field shows, or, with a shell, what it does not contract.
        settings: how.
        near: distance from a camera within which nothing is, in world units.
        device: where the field is.

    Attributes:
        kind: of scenes that it fits, for :class:`~dense3d.radiance.session.Session`.
        step: how many steps were made.

    Raises:
        DataError: there is no photograph.
        MissingDependencyError: nerfstudio is not installed.
    """

    kind = "nerfacto"

    def __init__(
        self,
        views: Sequence[PosedView],
        box: np.ndarray,
        settings: NerfactoSettings,
        near: float = 0.0,
        device: str | torch.device = "cpu",
    ) -> None:
        if not views:
            raise DataError("there is no photograph to fit")
        self.views, self.settings, self.near, self.step = list(views), settings, near, 0
        self.box, self.device = np.asarray(box, np.float64), torch.device(device)
        self.half = float((self.box[1] - self.box[0]).max()) / 2
        self.pixels = Pixels(views, device)
        self.generator = torch.Generator().manual_seed(settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.networks = _networks((self.box - self.box.mean(axis=0)) / self.half, settings).to(device)
        field = self.networks["field"]
        self.source = NerfstudioSource(field, np.eye(3), -self.box.mean(axis=0), 1 / self.half)
        self.adam = torch.optim.Adam(self.networks.parameters(), lr=settings.lr, eps=1e-15)
        self.sampler = _sampler(settings)

    @property
    def is_done(self) -> bool:
        """Whether all steps were made."""
        return self.step >= self.settings.steps

    def background(self) -> Tensor:
        """(3,) what lies behind the scene where it is evaluated."""
        return torch.full((3,), float(self.settings.background != "black"))

    def fit_one(self) -> tuple[float, float]:
        """One step; gives the loss of colours and the PSNR in dB of the rays that it looked at.

        Raises:
            TrainingError: the loss is not finite.
        """
        losses = require("nerfstudio.model_components.losses", PURPOSE)
        settings = self.settings
        batch = self.pixels.draw(settings.rays, self.generator)
        random = settings.background == "random"
        background = torch.rand(settings.rays, 3, generator=self.generator) if random else self.background()
        background = background.to(batch.colors)
        share = self.step / settings.steps
        for group in self.adam.param_groups:
            group["lr"] = settings.lr * LAST_RATE**share
        grown = min(1.0, share / ANNEALED)
        self.sampler.set_anneal(SLOPE * grown / ((SLOPE - 1) * grown + 1))
        self.networks.train()
        with torch.random.fork_rng(devices=[]):  # samples are jittered by torch's own generator
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=self.generator)))
            colors, weights, samples = self._render(batch.origins, batch.directions, background)
        error = (colors - batch.over(background)).square().mean()
        loss = error + losses.interlevel_loss(weights, samples)
        loss = loss + settings.distortion * losses.distortion_loss(weights, samples)
        value = float(error.detach())
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss of step {self.step + 1} is {float(loss.detach())}: lower the learning rate, or "
                "look for poses that are wrong"
            )
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        self.step += 1
        return value, -10 * math.log10(max(value, 1e-10))

    def _render(self, origins: Tensor, directions: Tensor, background: Tensor) -> tuple[Tensor, list, list]:
        """(R, 3) colours, and weights and samples of proposals and field."""
        heads = require("nerfstudio.field_components.field_heads", PURPOSE).FieldHeadNames
        networks = self.networks
        bundle = self._bundle(origins, directions)
        proposals = [network.density_fn for network in networks["proposals"]]
        samples, weights_list, samples_list = self.sampler(bundle, density_fns=proposals)
        found = networks["field"](samples)
        weights = samples.get_weights(found[heads.DENSITY])  # (R, S, 1)
        weights_list.append(weights)
        samples_list.append(samples)
        colors = (weights * found[heads.RGB]).sum(-2) + (1 - weights.sum(-2)) * background
        return colors, weights_list, samples_list

    def _bundle(self, origins: Tensor, directions: Tensor) -> Any:
        rays = require("nerfstudio.cameras.rays", PURPOSE)
        placed = self.source.placed(origins.cpu()).to(self.device)
        near = torch.full_like(placed[:, :1], max(self.near / self.half, 1e-3))
        if self.settings.shell > 0:
            far = torch.full_like(near, FAR)
        else:
            low, high = (self.source.placed(torch.from_numpy(c)).to(placed) for c in self.box)
            enter, leave = (part[:, None] for part in intersect_box(placed, directions.to(placed), low, high))
            near = torch.maximum(near, enter)
            far = torch.maximum(leave, near + 1e-3)  # of a ray that misses the box all samples are outside
        return rays.RayBundle(
            origins=placed.float(),
            directions=directions.float(),
            pixel_area=torch.full_like(near, 1e-6).float(),
            camera_indices=torch.zeros_like(near).long(),
            nears=near.float(),
            fars=far.float(),
        )

    @torch.no_grad()
    def picture(self, view: PosedView, background: Tensor) -> Tensor:
        """(H, W, 3) in 0..1 of what a camera sees now, on the CPU."""
        self.networks.eval()
        self.sampler.eval()
        origins, directions = (part.reshape(-1, 3).to(self.device) for part in view_rays(view))
        parts = [
            self._render(*some, background.to(self.device))[0]
            for some in zip(origins.split(RAYS_AT_ONCE), directions.split(RAYS_AT_ONCE))
        ]
        self.sampler.train()
        image = torch.cat(parts).reshape(view.camera.height, view.camera.width, 3)
        return image.clamp(0, 1).cpu()

    def size(self) -> str:
        """For a line of progress."""
        return f"{sum(p.numel() for p in self.networks.parameters()):,} weights"

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, as plain data and tensors."""
        return {
            "step": self.step,
            "near": self.near,
            "box": torch.from_numpy(self.box),
            "settings": self.settings.as_dict(),
            "views": {view.name: view.fingerprint() for view in self.views},
            "networks": self.networks.state_dict(),
            "adam": self.adam.state_dict(),
            "generator": self.generator.get_state(),
        }

    @classmethod
    def resumed(
        cls,
        views: Sequence[PosedView],
        settings: NerfactoSettings,
        state: dict[str, Any],
        device: str | torch.device = "cpu",
    ) -> NerfactoFitter:
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
        self = cls(views, state["box"].numpy(), settings, state["near"], device)
        self.step = state["step"]
        self.networks.load_state_dict(state["networks"])
        self.adam.load_state_dict(state["adam"])
        self.generator.set_state(state["generator"])
        return self


def _networks(corners: np.ndarray, settings: NerfactoSettings) -> nn.ModuleDict:
    """Field and proposal networks for a box with ``corners`` (2, 3) in their own frame."""
    fields = require("nerfstudio.fields.nerfacto_field", PURPOSE)
    densities = require("nerfstudio.fields.density_fields", PURPOSE)
    distortions = require("nerfstudio.field_components.spatial_distortions", PURPOSE)
    common = {
        "spatial_distortion": distortions.SceneContraction(order=math.inf) if settings.shell > 0 else None,
        "average_init_density": INITIAL_DENSITY[settings.shell > 0],
        "implementation": "torch",
    }
    box = torch.from_numpy(corners).float()
    field = fields.NerfactoField(
        box,
        num_images=1,
        hidden_dim=settings.hidden,
        hidden_dim_color=settings.hidden,
        num_levels=settings.levels,
        max_res=settings.finest,
        log2_hashmap_size=settings.table,
        appearance_embedding_dim=0,
        **common,
    )
    proposals = [
        densities.HashMLPDensityField(
            box, hidden_dim=16, num_levels=5, max_res=side, log2_hashmap_size=14, **common
        )
        for side in (64, 128)
    ]
    return nn.ModuleDict({"field": field, "proposals": nn.ModuleList(proposals)})


def _sampler(settings: NerfactoSettings) -> Any:
    samplers = require("nerfstudio.model_components.ray_samplers", PURPOSE)
    initial = None if settings.shell > 0 else samplers.UniformSampler(single_jitter=True)
    return samplers.ProposalNetworkSampler(
        num_nerf_samples_per_ray=settings.samples,
        num_proposal_samples_per_ray=settings.proposals,
        num_proposal_network_iterations=len(settings.proposals),
        single_jitter=True,
        update_sched=lambda step: 1,
        initial_sampler=initial,
    )
