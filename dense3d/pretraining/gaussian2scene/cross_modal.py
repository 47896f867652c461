"""What a point of the cloud is to know of the photograph: features or colours at the place where it is seen.

Chen et al., "PiMAE", CVPR 2023, section 3.4. The released code enlarges the features to 256 x 352 whatever
the image's size, takes rows for columns when it samples, and counts points outside the image as zeros; all
three are options here, and off unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid, tokens_to_map

TARGETS = ("features", "colours")


@dataclass(frozen=True)
class CrossModal:
    """How points are compared with the photograph.

    Attributes:
        target: ``"features"``, those of the image decoder, without gradient; or ``"colours"``, the
            normalised pixels.
        transposed: sample at (vertical, horizontal) places, as PiMAE's code does.
        enlarged: rows and columns that features are enlarged to; None for the image's own.
        count_unseen: compare points outside the image with zeros, as PiMAE's code does; else leave them out.
    """

    target: str = "features"
    transposed: bool = False
    enlarged: tuple[int, int] | None = None
    count_unseen: bool = False

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ConfigError(
                f"cross_modal target {self.target!r}: use one of {', '.join(map(repr, TARGETS))}"
            )

    def sample(self, images: Tensor, features: Tensor, grid: Grid, places: Tensor) -> Tensor:
        """Targets ``(B, N, C)`` at places, without gradient.

        Args:
            images: ``(B, 3, H, W)``.
            features: ``(B, L, C)`` of the image decoder.
            grid: rows and columns of the L patches.
            places: ``(B, N, 2)``, horizontal and vertical in 0..1.
        """
        source = images.detach().float()
        if self.target == "features":
            source = tokens_to_map(features.detach().float(), grid)
            size = self.enlarged or images.shape[-2:]
            source = F.interpolate(source, size=tuple(size), mode="bilinear", align_corners=False)
        places = places.flip(-1) if self.transposed else places
        found = F.grid_sample(source, 2 * places[:, :, None].to(source) - 1, align_corners=False)
        return found.squeeze(3).transpose(1, 2)

    def loss(self, predicted: Tensor, target: Tensor, seen: Tensor) -> Tensor:
        """Mean squared error of ``(B, N, C)`` at points that are seen ``(B, N)``; 0 if there are none."""
        error = (predicted.float() - target).square().mean(dim=2)
        if self.count_unseen:
            return error.mean()
        return (error * seen).sum() / seen.sum().clamp(min=1)


def values_of(cross_modal: CrossModal | None, dim: int) -> int:
    """How many values are predicted for a point: the decoder's channels, three colours, or none."""
    if cross_modal is None:
        return 0
    return dim if cross_modal.target == "features" else 3
