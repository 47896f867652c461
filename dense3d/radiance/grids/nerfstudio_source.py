"""A field of nerfstudio that is asked in the world of the photographs (extra ``nerf``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dense3d.optional import require

PURPOSE = "fields of nerfstudio"


class NerfstudioSource:
    """Density and colours of a field, with ``field place = scale * (rotation @ place + shift)``.

    The field does not depend on directions in its density, so it is asked once for all of them.

    Args:
        field: nerfstudio's, in evaluation, where nerfacto's takes the mean appearance of all photographs, or
            none.
        rotation: (3, 3).
        shift: (3,) in units of the world, turned.
        scale: units of the field in one of the world.
        density_kind: how its densities are stored, see
            :class:`~dense3d.structures.radiance_grid.RadianceGrid`.
    """

    def __init__(
        self,
        field: Any,
        rotation: np.ndarray,
        shift: np.ndarray,
        scale: float,
        density_kind: str = "raw_exp",
    ) -> None:
        self.field, self.scale, self.density_kind = field, float(scale), density_kind
        self.rotation = torch.from_numpy(np.array(rotation, np.float64))
        self.shift = torch.from_numpy(np.array(shift, np.float64))

    def placed(self, points: Tensor) -> Tensor:
        """(..., 3) float64 of the world -> of the field."""
        return self.scale * (
            points.double() @ self.rotation.to(points.device).T + self.shift.to(points.device)
        )

    def _own(self, points: Tensor) -> Tensor:
        return self.placed(points).to(next(self.field.parameters()).device)

    @torch.no_grad()
    def density(self, points: Tensor) -> Tensor:
        """(N,) extinction in 1 / world unit."""
        samples = field_samples(self._own(points), torch.zeros(len(points), 3))
        return self.field.get_density(samples)[0][:, 0].double() * self.scale

    @torch.no_grad()
    def colors(self, points: Tensor, directions: Tensor) -> Iterator[Tensor]:
        """(N, 3) for each direction."""
        from nerfstudio.field_components.field_heads import FieldHeadNames

        placed = self._own(points)
        _, features = self.field.get_density(field_samples(placed, torch.zeros(len(points), 3)))
        for direction in (directions.double() @ self.rotation.T).float():
            samples = field_samples(placed, direction.expand(len(points), 3))
            with torch.no_grad():
                found = self.field.get_outputs(samples, density_embedding=features)
            yield found[FieldHeadNames.RGB]


def field_samples(points: Tensor, directions: Tensor) -> Any:
    """nerfstudio's ``RaySamples`` that lie at points (N, 3) of the field, seen along directions (N, 3)."""
    rays = require("nerfstudio.cameras.rays", PURPOSE)
    points = points.float()
    nothing = torch.zeros_like(points[..., :1])
    frustums = rays.Frustums(
        origins=points,
        directions=directions.to(points),
        starts=nothing,
        ends=nothing,
        pixel_area=torch.ones_like(nothing),
    )
    return rays.RaySamples(frustums=frustums, camera_indices=torch.zeros_like(nothing).long())
