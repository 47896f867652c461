"""VoteNet: seeds vote for centres of objects, and clusters of votes become boxes.

Qi et al., "Deep Hough Voting for 3D Object Detection in Point Clouds", ICCV 2019 (facebookresearch/votenet).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dense3d.detection3d.point_detector import PointDetector
from dense3d.detection3d.votenet.criterion import VoteCriterion
from dense3d.detection3d.votenet.proposals import ProposalHead, Proposals
from dense3d.detection3d.votenet.targets import box_targets, box_votes, instance_votes
from dense3d.detection3d.votenet.voting import Votes, Voting
from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample

VOTES = ("auto", "boxes", "instances")


@dataclass
class VoteNetOutput:
    """Raw predictions of a batch."""

    votes: Votes
    proposals: Proposals


@MODELS.register_module()
class VoteNet(PointDetector):
    """Oriented boxes in clouds of rooms.

    Args:
        backbone: see :class:`~dense3d.detection3d.point_detector.PointDetector`, such as
            :class:`dense3d.pointcloud.PointNet2`.
        num_classes: NC.
        mean_sizes: ``(NS, 3)``, length, width and height in metres of the boxes of each class. Where there
            are not as many as classes, each box belongs to the nearest.
        num_heading_bins: NH; 1 for boxes along the axes.
        vote_factor: votes of a seed.
        proposals: further arguments of :class:`~dense3d.detection3d.votenet.proposals.ProposalHead`.
        criterion: arguments of :class:`~dense3d.detection3d.votenet.criterion.VoteCriterion`.
        votes: what seeds vote for in training: ``"boxes"``, centres of the boxes around them;
            ``"instances"``, middles of the points of their instance; ``"auto"``, these where a sample has
            ``gt_instances``.
        decoding, data_preprocessor, init_cfg: see
            :class:`~dense3d.detection3d.point_detector.PointDetector`.

    Shape:
        clouds ``(B, N, 3)`` with features ``(B, N, F)`` to boxes, see
        :meth:`~dense3d.detection3d.point_detector.PointDetector.forward`; mode ``"tensor"`` gives
        :class:`VoteNetOutput`.

    Raises:
        ConfigError: an option is unknown.

    Example:
        >>> backbone = dict(type="PointNet2", in_channels=0, num_points=(32, 16), radii=(0.3, 0.6),
        ...     num_neighbours=(8, 8), channels=((8,), (16,)), propagation=())
        >>> model = VoteNet(backbone, 2, [(1.0, 1.0, 1.0)] * 2, proposals=dict(num_proposals=8)).eval()
        >>> model(torch.rand(1, 64, 3)).proposals.boxes().shape
        torch.Size([1, 8, 7])
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        num_classes: int,
        mean_sizes: Sequence[Sequence[float]],
        num_heading_bins: int = 12,
        vote_factor: int = 1,
        proposals: dict[str, Any] | None = None,
        criterion: dict[str, Any] | None = None,
        votes: str = "auto",
        decoding: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, num_classes, decoding, data_preprocessor, init_cfg)
        if votes not in VOTES:
            raise ConfigError(f"votes={votes!r} of VoteNet: use one of {', '.join(map(repr, VOTES))}")
        self.votes = votes
        self.voting = Voting(self.backbone.out_channels, vote_factor)
        self.proposals = ProposalHead(
            self.backbone.out_channels, num_classes, mean_sizes, num_heading_bins, **(proposals or {})
        )
        self.criterion = VoteCriterion(**(criterion or {}))

    def predictions(self, points: Tensor, features: Tensor | None, lengths: Tensor | None) -> VoteNetOutput:
        """Votes and proposals of a batch."""
        votes = self.voting(self.backbone.seeds(points, features, lengths))
        return VoteNetOutput(votes, self.proposals(votes))

    def losses(
        self,
        found: VoteNetOutput,
        points: Tensor,
        lengths: Tensor | None,
        boxes: list[Tensor],
        labels: list[Tensor],
        samples: list[PointDataSample],
    ) -> dict[str, Tensor]:
        """Losses of a batch, see :class:`~dense3d.detection3d.votenet.criterion.VoteCriterion`."""
        counts = [points.shape[1]] * len(points) if lengths is None else lengths.tolist()
        scenes = zip(points, counts, found.votes.seeds.indices, boxes, samples)
        wanted, voting = zip(*(self._places(c[:n], seeds, b, s) for c, n, seeds, b, s in scenes))
        votes = found.votes.points.float().unflatten(1, (-1, self.voting.vote_factor))
        sizes = self.proposals.mean_sizes
        kinds = None if len(sizes) == self.num_classes else sizes
        targets = box_targets(boxes, labels, self.proposals.num_heading_bins, kinds)
        return self.criterion(found.proposals, votes, torch.stack(wanted), torch.stack(voting), targets)

    def scored(self, found: VoteNetOutput) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes ``(B, K, 7)``, objectness ``(B, K)`` and probabilities of classes ``(B, K, C)``."""
        proposals = found.proposals
        objectness = proposals.objectness.softmax(dim=2)[..., 1]
        return proposals.boxes(), objectness, proposals.class_logits.softmax(dim=2)

    def _places(
        self, cloud: Tensor, seeds: Tensor, boxes: Tensor, sample: PointDataSample
    ) -> tuple[Tensor, Tensor]:
        """``(S, 3, 3)`` places that the seeds of a cloud should vote for, and which have one ``(S,)``."""
        there = sample.get("gt_instances") is not None
        if self.votes == "boxes" or (self.votes == "auto" and not there):
            return box_votes(cloud[seeds], boxes)
        if not there:
            raise DataError(
                f"{sample.get('sample_id', 'a cloud')} has no instances to vote for: set the model's "
                "votes='boxes'"
            )
        instances = torch.as_tensor(sample.gt_instances).to(cloud.device)
        return instance_votes(cloud, instances, seeds)
