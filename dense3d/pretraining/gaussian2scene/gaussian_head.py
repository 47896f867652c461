"""Gaussians from features of groups: a mean for each point, and sizes, rotations, opacities and colours.

Kerbl et al., "3D Gaussian Splatting", SIGGRAPH 2023, says what a Gaussian is; that a network predicts them
from the tokens of a masked autoencoder is the proposal of docs/gaussian2scene.md.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.ops import knn

BAND_0 = 0.28209479177387814  # the constant harmonic
NEIGHBOURS = 3
VALUES = 3 + 4 + 1 + 3  # of a point: sizes, quaternion, opacity, colour


class SceneGaussians(NamedTuple):
    """Gaussians of B scenes, N each, in the frame of the clouds.

    Attributes:
        means: ``(B, N, 3)`` metres.
        quats: ``(B, N, 4)``, w first, of any length.
        scales: ``(B, N, 3)`` standard deviations in metres.
        opacities: ``(B, N)`` in 0..1.
        colors: ``(B, N, 3)``, red, green, blue, not below 0.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor


class GaussianHead(nn.Module):
    """One linear layer from the feature of a group to what its k points need to be Gaussians.

    Its weights start at zero: at first a Gaussian is a ball as large as the mean distance to the three
    nearest means, grey and of the opacity given.

    Args:
        dim: channels of the features.
        group_size: k.
        scale_range: smallest and largest standard deviation in metres.
        opacity: initial one.

    Raises:
        ConfigError: the range is empty or not positive, or the opacity is not between 0 and 1.

    Example:
        >>> import torch
        >>> head = GaussianHead(8, group_size=4)
        >>> found = head(torch.rand(2, 5, 8), torch.rand(2, 20, 3))
        >>> found.scales.shape, found.opacities.unique().tolist(), found.colors.unique().tolist()
        (torch.Size([2, 20, 3]), [0.5], [0.5])
    """

    def __init__(
        self,
        dim: int,
        group_size: int,
        scale_range: tuple[float, float] = (0.003, 0.15),
        opacity: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 < scale_range[0] < scale_range[1] or not 0 < opacity < 1:
            raise ConfigError(
                f"scale_range={scale_range} and opacity={opacity} of Gaussians: sizes ascend from above 0, "
                "the opacity is between 0 and 1"
            )
        self.scale_range, self.opacity_logit = tuple(scale_range), math.log(opacity / (1 - opacity))
        self.attributes = nn.Linear(dim, group_size * VALUES)
        nn.init.zeros_(self.attributes.weight)
        nn.init.zeros_(self.attributes.bias)

    def forward(self, features: Tensor, means: Tensor, base_colors: Tensor | None = None) -> SceneGaussians:
        """Gaussians of groups.

        Args:
            features: ``(B, G, dim)``.
            means: ``(B, G * k, 3)``, in the order of the groups.
            base_colors: ``(B, G * k, 3)`` in 0..1, what predicted colours are added to; grey unless given.
        """
        values = self.attributes(features).float().unflatten(2, (-1, VALUES)).flatten(1, 2)  # (B, N, 11)
        sizes, turns, opacity, colour = values.split((3, 4, 1, 3), dim=2)
        low, high = self.scale_range
        start = mean_distances(means.detach()).clamp(low, high)[..., None]
        part = ((start - low) / (high - low)).clamp(1e-3, 1 - 1e-3)
        scales = low + (high - low) * (sizes + part.logit()).sigmoid()
        identity = turns.new_tensor([1.0, 0.0, 0.0, 0.0])
        base = 0.5 if base_colors is None else base_colors
        return SceneGaussians(
            means.float(),
            identity + turns,
            scales,
            (opacity.squeeze(2) + self.opacity_logit).sigmoid(),
            (BAND_0 * colour + base).clamp(min=0),
        )


def mean_distances(points: Tensor) -> Tensor:
    """``(B, N)``: mean distance of each of ``(B, N, 3)`` points to its three nearest other ones.

    Example:
        >>> import torch
        >>> mean_distances(torch.tensor([[[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [6, 0, 0]]])).tolist()[0][0]
        3.3333332538604736
    """
    squared = knn(points.float(), points.float(), min(NEIGHBOURS + 1, points.shape[1]))[0]
    return squared[..., 1:].sqrt().mean(dim=2)
