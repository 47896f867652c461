"""Colour and density at the centres of cubic voxels, of a box of the world or, with a shell, of all of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops import render_grid
from dense3d.ops.grid_rendering import Rendered, contracted_places, growth_outside
from dense3d.ops.volume_rendering_rays import sample_volume
from dense3d.radiance.rays import view_rays
from dense3d.radiance.views import PosedView

RAYS_AT_ONCE = 1 << 16
FAR = 100.0  # of a field with a shell, in sides of the inner box


class VoxelField:
    """A grid and its place in the world.

    Args:
        values: (X, Y, Z, 4) float32 straight red, green, blue and the extinction of a voxel's edge; negative
            ones count as 0.
        centre: (3,) of the grid in the world.
        voxel: edge in world units.
        shell: see :mod:`dense3d.ops.grid_rendering`.
    """

    density_kind = "relu"

    def __init__(self, values: Tensor, centre: np.ndarray, voxel: float, shell: float) -> None:
        self.values, self.voxel, self.shell = values, float(voxel), float(shell)
        self.centre = torch.as_tensor(np.asarray(centre), dtype=torch.float64)

    @classmethod
    def empty(
        cls, box: np.ndarray, resolution: int, shell: float, depth: float, device: str | torch.device = "cpu"
    ) -> VoxelField:
        """Grey voxels of equal density.

        Args:
            box: (2, 3) corners of the inner box.
            resolution: voxels along the longest side of the whole grid.
            shell: see the class.
            depth: optical depth of the longest side.
            device: of the values.
        """
        sides = (box[1] - box[0]) * (1 + shell)
        voxel = float(sides.max()) / resolution
        shape = [max(2, round(float(side) / voxel)) for side in sides]
        values = torch.full((*shape, 4), 0.5, device=device)
        values[..., 3] = depth / resolution
        return cls(values, box.mean(axis=0), voxel, shell)

    @property
    def sides(self) -> Tensor:
        """(3,) float64 of the whole grid in world units."""
        return self.voxel * torch.tensor(self.values.shape[:3], dtype=torch.float64)

    @property
    def low(self) -> Tensor:
        """(3,) float64 lower corner of the whole grid in the world."""
        return self.centre - self.sides / 2

    def refined(self, resolution: int) -> VoxelField:
        """The same field with smaller voxels, ``resolution`` of them along the longest side."""
        voxel = float(self.sides.max()) / resolution
        shape = [max(2, round(float(side) / voxel)) for side in self.sides]
        channels = self.values.detach().movedim(-1, 0)[None]
        finer = F.interpolate(channels, shape, mode="trilinear")[0].movedim(0, -1).contiguous()
        finer[..., 3] *= voxel / self.voxel
        finer[..., :3].clamp_(0, 1)
        return VoxelField(finer, self.centre.numpy(), voxel, self.shell)

    def render(
        self,
        origins: Tensor,
        directions: Tensor,
        background: Tensor | None = None,
        *,
        voxels_a_sample: float = 0.5,
        near: float = 0.0,
        **options,
    ) -> Rendered:
        """What rays of the world see; distances are in world units.

        Args:
            origins, directions: (..., 3), the latter of length one.
            background: (3,) or (..., 3).
            voxels_a_sample: length of the intervals along rays.
            near: distance from which on the field is seen, in world units.
            **options: of :func:`dense3d.ops.render_grid`.
        """
        far = FAR * float(max(self.values.shape[:3])) if self.shell else float("inf")
        found = render_grid(
            self.values,
            (origins.double() - self.low.to(origins.device)) / self.voxel,
            directions,
            origin=torch.zeros(3),
            spacing=torch.ones(3),
            step=voxels_a_sample,
            background=background,
            near=near / self.voxel,
            far=far,
            shell=self.shell,
            **options,
        )
        return found._replace(distance=found.distance * self.voxel)

    @torch.no_grad()
    def picture(self, view: PosedView, background: Tensor, **options) -> Tensor:
        """(H, W, 3) float32 in 0..1, on the CPU, of what a camera sees."""
        origins, directions = (part.to(self.values.device) for part in view_rays(view))
        rows = max(1, RAYS_AT_ONCE // view.camera.width)
        background = background.to(self.values)
        parts = [
            self.render(*some, background, **options).values
            for some in zip(origins.split(rows), directions.split(rows))
        ]
        return torch.cat(parts).clamp(0, 1).cpu()

    def query(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3) colours in 0..1 and (N,) extinctions in 1 / world unit at points (N, 3) of the world."""
        points = points.to(self.values.device, torch.float64)
        low, sides = self.low.to(points), self.sides.to(points)
        places = contracted_places(points, low, sides, self.shell)
        channels = self.values.detach().movedim(-1, 0)
        found = sample_volume(channels, places, low, torch.full_like(low, self.voxel))
        inside = ((places >= low) & (places <= low + sides)).all(-1)
        density = found[:, 3].clamp(min=0) / self.voxel / growth_outside(points, low, sides, self.shell)
        density = torch.where(inside, density, 0)
        return found[:, :3].clamp(0, 1), density

    def density(self, points: Tensor) -> Tensor:
        """See :class:`~dense3d.radiance.grids.extraction.GridSource`."""
        return self.query(points)[1]

    def colors(self, points: Tensor, directions: Tensor) -> Iterator[Tensor]:
        """The same from all directions."""
        colors = self.query(points)[0]
        return (colors for _ in directions)

    def state(self) -> dict:
        """What :meth:`of_state` takes."""
        return {
            "values": self.values.detach(),
            "centre": self.centre,
            "voxel": self.voxel,
            "shell": self.shell,
        }

    @classmethod
    def of_state(cls, state: dict, device: str | torch.device = "cpu") -> VoxelField:
        """The field that gave a state."""
        values = state["values"].to(device).clone()
        return cls(values, state["centre"].numpy(), state["voxel"], state["shell"])
