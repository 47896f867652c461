"""Clusters of votes and the box that each of them stands for.

Qi et al., "Deep Hough Voting for 3D Object Detection in Point Clouds", ICCV 2019, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dense3d.detection3d.box_bins import bin_to_heading
from dense3d.detection3d.votenet.voting import Votes, point_head
from dense3d.errors import ConfigError, DataError
from dense3d.ops import farthest_point_sample
from dense3d.pointcloud.set_abstraction import SetAbstraction

SAMPLINGS = ("vote_fps", "seed_fps", "random")


@dataclass
class Proposals:
    """Raw predictions of the K clusters of each scene of a batch.

    Attributes:
        clusters: ``(B, K, 3)``, centres of the clusters of votes.
        indices: ``(B, K)``, which votes these are.
        objectness: ``(B, K, 2)``, logits of no and yes.
        centres: ``(B, K, 3)``, of the boxes.
        heading_logits: ``(B, K, NH)``. heading_rests: ``(B, K, NH)``, in units of pi / NH.
        size_logits: ``(B, K, NS)``. size_rests: ``(B, K, NS, 3)``, in units of the mean sizes.
        class_logits: ``(B, K, NC)``.
        mean_sizes: ``(NS, 3)``, metres.
    """

    clusters: Tensor
    indices: Tensor
    objectness: Tensor
    centres: Tensor
    heading_logits: Tensor
    heading_rests: Tensor
    size_logits: Tensor
    size_rests: Tensor
    class_logits: Tensor
    mean_sizes: Tensor

    def boxes(self, heading_bins: Tensor | None = None, size_numbers: Tensor | None = None) -> Tensor:
        """``(B, K, 7)`` boxes in the world frame, of the likeliest bins and sizes or of given ones.

        Args:
            heading_bins, size_numbers: ``(B, K)``.
        """
        bins = self.heading_logits.argmax(dim=2) if heading_bins is None else heading_bins
        numbers = self.size_logits.argmax(dim=2) if size_numbers is None else size_numbers
        number_of_bins = self.heading_logits.shape[2]
        rest = self.heading_rests.gather(2, bins[..., None])[..., 0] * (math.pi / number_of_bins)
        heading = bin_to_heading(bins, rest, number_of_bins)
        sizes = self.mean_sizes[numbers] * (1 + chosen_sizes(self.size_rests, numbers))
        return torch.cat([self.centres, sizes, -heading[..., None]], dim=2)  # theirs turn clockwise


def chosen_sizes(rests: Tensor, numbers: Tensor) -> Tensor:
    """Of ``(B, K, NS, 3)`` those of the sizes ``(B, K)``: ``(B, K, 3)``."""
    return rests.gather(2, numbers[..., None, None].expand(-1, -1, 1, 3))[:, :, 0]


class ProposalHead(nn.Module):
    """Gathers votes around some of them, and predicts a box for each gathering.

    Args:
        in_channels: of the votes.
        num_classes: NC.
        mean_sizes: ``(NS, 3)``, length, width and height in metres.
        num_heading_bins: NH; 1 for boxes along the axes.
        num_proposals: K.
        sampling: centres of the clusters: ``"vote_fps"``, farthest votes; ``"seed_fps"``, votes of farthest
            seeds, which cover a scene better; ``"random"``.
        test_sampling: in evaluation mode; as ``sampling`` unless given.
        radius, num_neighbours, channels: of the
            :class:`~dense3d.pointcloud.set_abstraction.SetAbstraction` of votes.

    Raises:
        ConfigError: a sampling is unknown, or mean sizes are not positive (NS, 3).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        mean_sizes: Sequence[Sequence[float]],
        num_heading_bins: int = 12,
        num_proposals: int = 256,
        sampling: str = "vote_fps",
        test_sampling: str | None = None,
        radius: float = 0.3,
        num_neighbours: int = 16,
        channels: Sequence[int] = (128, 128, 128),
    ) -> None:
        super().__init__()
        for name in (sampling, test_sampling or sampling):
            if name not in SAMPLINGS:
                raise ConfigError(f"votes are sampled by {', '.join(SAMPLINGS)}, not by {name!r}")
        sizes = np.asarray(mean_sizes, dtype=np.float32)
        if sizes.ndim != 2 or sizes.shape[1] != 3 or not (sizes > 0).all() or not len(sizes):
            raise ConfigError(
                "mean_sizes are length, width and height in metres, above 0, of each kind of box, not "
                f"{mean_sizes!r:.80}"
            )
        self.sampling, self.test_sampling = sampling, test_sampling or sampling
        self.num_proposals, self.num_heading_bins = num_proposals, num_heading_bins
        self.register_buffer("mean_sizes", torch.as_tensor(sizes), persistent=False)
        self.aggregation = SetAbstraction(num_proposals, radius, num_neighbours, in_channels, channels)
        self.hidden = point_head(channels[-1])
        self.parts = (2, 3, num_heading_bins, num_heading_bins, len(sizes), 3 * len(sizes), num_classes)
        self.predict = nn.Linear(channels[-1], sum(self.parts))

    def forward(self, votes: Votes) -> Proposals:
        """Proposals of votes.

        Raises:
            DataError: there are fewer votes than proposals.
        """
        seeds = votes.seeds.points.shape[1]
        if seeds < self.num_proposals:
            raise DataError(
                f"{seeds} seeds cannot make {self.num_proposals} proposals: set a smaller "
                "num_proposals, or more points in the backbone's level of seeds"
            )
        found = self.aggregation(votes.points, votes.features, self._centres(votes))
        shape = found.features.shape[:2]
        values = self.predict(self.hidden(found.features.flatten(0, 1))).unflatten(0, shape)
        values = values.float()  # under mixed precision, too
        objectness, offsets, headings, rests, sizes, size_rests, classes = values.split(self.parts, dim=2)
        return Proposals(
            found.points,
            found.indices,
            objectness,
            found.points + offsets,
            headings,
            rests,
            sizes,
            size_rests.unflatten(2, (-1, 3)),
            classes,
            self.mean_sizes,
        )

    def _centres(self, votes: Votes) -> Tensor:
        """``(B, K)``, votes that clusters are made around; of seeds with several votes as officially."""
        sampling = self.sampling if self.training else self.test_sampling
        if sampling == "random":
            seeds = votes.seeds.points.shape[1]
            return torch.randint(seeds, (len(votes.points), self.num_proposals), device=votes.points.device)
        chosen_from = votes.points if sampling == "vote_fps" else votes.seeds.points
        return farthest_point_sample(chosen_from.float(), self.num_proposals, skip_origin=True)
