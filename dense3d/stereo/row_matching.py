"""Matching of two feature maps along their rows: what each pixel of one image finds in the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError

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

    Matches of the first image lie to the left in the second, never to the right.

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
            row = query.permute(0, 2, 3, 1) @ key.permute(0, 2, 1, 3)  # (B, h, w, w)
            width = row.shape[-1]
            column = torch.arange(width, device=row.device)
            steps = torch.arange(self.candidates, device=row.device)
            place = column[:, None] + (-steps if is_left else steps)  # (w, D)
            beyond = (place < 0) | (place >= width)
            cosines = row.gather(3, place.clamp(0, width - 1).expand(*row.shape[:3], -1))
            cosines = cosines.masked_fill(beyond, 0).permute(0, 3, 1, 2)  # (B, D, h, w)
            logits = (cosines * self.temperature).masked_fill(beyond.mT[:, None], -1e4)
            match = Match(logits.softmax(1), self.stride, is_left)
            evidence = torch.cat([2 * cosines, match.clues[:, :1]], dim=1)
        return self.output(evidence.to(image.dtype)), match
