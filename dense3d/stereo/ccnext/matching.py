"""Disparities straight from the similarity of features along rows, which tell a young network where to look.

Not part of the official network. CCNeXt learns what its attention finds only through the decoder, which takes
many thousand steps from random weights. The parallax attention of Wang et al. ("Parallax Attention for
Unsupervised Stereo Correspondence Learning", TPAMI 2020, section 3.3) is told at once: each pixel's
probabilities over its row paint the image from the other one, and the difference is the loss. As the painted
colour is a mean over all candidates, its gradient reaches disparities that are far away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.stereo.ccnext.losses import edge_aware_smoothness, photometric_error

CLUES = 2  # channels of Match.clues


@dataclass(frozen=True)
class Match:
    """What one image's pixels found in the other, at one stride.

    Attributes:
        probability: ``(B, D, h, w)`` of the disparities 0, 1, ..., D - 1 columns; sums up to 1.
        stride: pixels of the image to a column.
        left: whether matches lie to the left, as those of the left image do.
    """

    probability: Tensor
    stride: int
    left: bool

    @property
    def disparity(self) -> Tensor:
        """Mean of the probabilities in columns, ``(B, 1, h, w)``."""
        columns = torch.arange(self.probability.shape[1], device=self.probability.device)
        return (self.probability * columns[:, None, None]).sum(1, keepdim=True)

    @property
    def clues(self) -> Tensor:
        """Disparity as a fraction of the largest one, times four, and the highest probability: ``(B, 2, h,
        w)``."""
        fraction = 4 / self.probability.shape[1] * self.disparity
        return torch.cat([fraction, self.probability.amax(1, keepdim=True)], dim=1)

    def paint(self, other: Tensor) -> Tensor:
        """The image from the other one ``(B, C, h, w)``, black beyond its border."""
        moved = along_row(other, self.probability.shape[1], self.left)
        return sum(self.probability[:, d : d + 1] * image for d, image in enumerate(moved))


def along_row(image: Tensor, candidates: int, left: bool) -> list[Tensor]:
    """For each disparity d what lies d columns to the left (or right) of each pixel, 0 beyond the border.

    Example:
        >>> [x.flatten().tolist() for x in along_row(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 2, left=True)]
        [[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]]
    """
    width, more = image.shape[-1], candidates - 1
    padded = F.pad(image, (more, 0) if left else (0, more))
    starts = range(more, -1, -1) if left else range(candidates)
    return [padded[..., start : start + width] for start in starts]


class RowMatching(nn.Module):
    """Adds to each of two maps the similarities of its pixels with those that may be theirs in the other.

    Matches of the first image lie to the left in the second, never to the right, unlike what
    :class:`EpipolarAttention` allows for.

    Args:
        channels: of the maps.
        candidates: disparities 0, 1, ..., in columns of the maps.
        stride: pixels of the image to a column.
        temperature: that cosines are multiplied by before the softmax, at the start; it is learned.

    Shape:
        two maps ``(B, channels, h, w)`` to two like them.
    """

    def __init__(self, channels: int, candidates: int, stride: int, temperature: float = 20.0) -> None:
        super().__init__()
        if candidates < 2:
            raise ConfigError(
                f"matching at stride {stride} has {candidates} candidates, but needs 2: "
                "a larger max_disparity"
            )
        self.candidates, self.stride = candidates, stride
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.output = nn.Conv2d(candidates + 1, channels, 1, bias=False)
        self.temperature = nn.Parameter(torch.tensor(float(temperature)))

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, tuple[Match, Match]]:
        """Both maps with what was found, and the matches of both."""
        more_left, of_left = self._match(left, right, is_left=True)
        more_right, of_right = self._match(right, left, is_left=False)
        return left + more_left, right + more_right, (of_left, of_right)

    def _match(self, image: Tensor, other: Tensor, is_left: bool) -> tuple[Tensor, Match]:
        query, key = self.query(image), self.key(other)
        with torch.autocast(image.device.type, enabled=False):
            query, key = (F.normalize(x.float(), dim=1) for x in (query, key))
            moved = along_row(key, self.candidates, is_left)
            cosines = torch.stack([(query * k).sum(1) for k in moved], dim=1)  # (B, D, h, w)
            width = cosines.shape[-1]
            column = torch.arange(width, device=cosines.device)
            within = column if is_left else width - 1 - column  # columns up to the border
            beyond = torch.arange(self.candidates, device=cosines.device)[:, None] > within  # (D, w)
            logits = (cosines * self.temperature).masked_fill(beyond[:, None], -1e4)
            match = Match(logits.softmax(1), self.stride, is_left)
            evidence = torch.cat([2 * cosines, match.clues[:, :1]], dim=1)
        return self.output(evidence.to(image.dtype)), match


class MatchingLoss(nn.Module):
    """Photometric error of what matches paint, and smoothness of their disparity.

    Args:
        weight: of the whole.
        ssim_weight: see :func:`photometric_error`.
        smooth_weight: of the edge-aware smoothness, beside the error's 1.

    Raises:
        ConfigError: a weight is out of range.
    """

    def __init__(self, weight: float = 2.0, ssim_weight: float = 0.85, smooth_weight: float = 0.05) -> None:
        super().__init__()
        if weight < 0 or smooth_weight < 0 or not 0 <= ssim_weight <= 1:
            raise ConfigError(
                f"matching_loss: ssim_weight={ssim_weight} lies in [0, 1]; weight={weight} and "
                f"smooth_weight={smooth_weight} are not negative"
            )
        self.weight, self.ssim_weight, self.smooth_weight = weight, ssim_weight, smooth_weight

    def forward(self, matches: Sequence[Match], left: Tensor, right: Tensor) -> Tensor:
        """Scalar, the mean over matches.

        Args:
            left, right: images ``(B, 3, H, W)`` in [0, 1], as large as those that were matched.
        """
        with torch.autocast(left.device.type, enabled=False):
            return self.weight * sum(self._term(match, left, right) for match in matches) / len(matches)

    def _term(self, match: Match, left: Tensor, right: Tensor) -> Tensor:
        image, other = (F.avg_pool2d(x.float(), match.stride) for x in (left, right))
        if not match.left:
            image, other = other, image
        error = photometric_error(match.paint(other), image, self.ssim_weight).mean()
        fraction = match.disparity / match.probability.shape[1]
        return error + self.smooth_weight * edge_aware_smoothness(fraction, image)
