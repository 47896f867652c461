"""Similarities along rows beside CroCo's attention, for a small network that is trained for minutes.

Not part of the official networks, which learn from millions of pairs what their attention to the other view
is for. Here convolutions see both images too, cells of the two are compared along rows as in DispNetC's
correlation layer (Mayer et al., CVPR 2016), trained on the true disparities, and the tokens are told what was
found; the head adds to it. Convolutions find the same features wherever a thing lies; tokens, which see it
cut into patches in one image otherwise than in the other, have to learn that.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.stereo.row_matching import Match, RowMatching


class TokenMatching(nn.Module):
    """What each token's cells find in the same row of the other image.

    Args:
        dim: channels of the tokens.
        patch_size: pixels to a token.
        max_disparity: what is looked for lies below it, in pixels.
        stride: pixels to a cell, a power of two that divides ``patch_size``.
        channels: of the features of cells.
        weight: of the loss.

    Raises:
        ConfigError: a number does not fit.
    """

    def __init__(
        self,
        dim: int,
        patch_size: int,
        max_disparity: int,
        stride: int = 4,
        channels: int = 64,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        halvings = int(stride).bit_length() - 1
        if stride < 2 or 2**halvings != stride or patch_size % stride:
            raise ConfigError(
                f"matching: stride={stride} is no power of two that divides patches of {patch_size}"
            )
        if weight < 0:
            raise ConfigError(f"matching: weight={weight} is negative")
        self.weight = weight
        widths = [3, *(max(channels >> n, 8) for n in reversed(range(halvings))), channels, channels]
        strides = [2] * halvings + [1, 1]
        layers = []
        for before, after, step in zip(widths, widths[1:], strides):
            layers += [nn.Conv2d(before, after, 3, stride=step, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*layers[:-1])
        self.rows = RowMatching(channels, max_disparity // stride, stride)
        cells = patch_size // stride
        self.join = nn.Conv2d(channels, dim, cells, stride=cells)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Match]:
        """What to add to both views' tokens, ``(B, N, dim)``, and the matches of the left image.

        Args:
            left, right: images ``(B, 3, H, W)`` of whole patches.
        """
        maps = self.features(torch.cat([left, right])).chunk(2)
        *found, (match, _) = self.rows(*maps)
        first, second = (self.join(x).flatten(2).transpose(1, 2) for x in found)
        return first, second, match

    def loss(self, match: Match, target: Tensor, valid: Tensor) -> Tensor:
        """Cross-entropy to the true places, a scalar.

        Args:
            match: of images padded to whole patches.
            target: disparity ``(B, 1, H, W)`` in pixels.
            valid: ``(B, H, W)`` bool.
        """
        height, width = (side * match.stride for side in match.probability.shape[-2:])
        padding = (0, width - target.shape[-1], 0, height - target.shape[-2])
        places = true_places(F.pad(target, padding), F.pad(valid, padding), match)
        log = match.probability.clamp(min=1e-6).log()
        return -self.weight * (places * log).sum() / places.sum().clamp(min=1)


def true_places(disparity: Tensor, valid: Tensor, match: Match) -> Tensor:
    """The part of each cell's pixels that lie 0, 1, ... columns to the left in the other image.

    Args:
        disparity: ``(B, 1, H, W)`` in pixels.
        valid: ``(B, H, W)`` bool; pixels whose place lies outside of the other image, or farther away than
            all candidates, do not count either.
        match: the cells.

    Returns:
        ``(B, D, h, w)`` in float32; over D it sums up to the part of a cell's pixels that count.

    Example:
        >>> match = Match(torch.full((1, 3, 1, 3), 1 / 3), stride=4, left=True)
        >>> valid = torch.ones(1, 4, 12, dtype=torch.bool)
        >>> true_places(torch.full((1, 1, 4, 12), 5.0), valid, match)[0, :, 0]
        tensor([[0.0000, 0.0000, 0.0000],
                [0.0000, 0.7500, 0.7500],
                [0.0000, 0.0000, 0.2500]])
    """
    batch, candidates, rows, columns = match.probability.shape
    stride, device = match.stride, disparity.device
    x = torch.arange(columns * stride, device=device)
    place = x + 0.5 - torch.where(valid, disparity[:, 0].float(), 0)  # (B, H, W)
    moved = x // stride - place.div(stride, rounding_mode="floor").long()
    counts = valid & (place >= 0) & (moved >= 0) & (moved < candidates)
    y = torch.arange(rows * stride, device=device) // stride
    cell = (moved * rows + y[:, None]) * columns + x // stride
    places = torch.zeros(batch, candidates * rows * columns, device=device)
    places.scatter_add_(1, torch.where(counts, cell, 0).flatten(1), counts.flatten(1).float() / stride**2)
    return places.view(batch, candidates, rows, columns)
