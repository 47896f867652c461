"""What VoteNet is trained towards: the boxes of a batch side by side, and where seeds should vote.

Qi et al., ICCV 2019, section 4.1 and its official data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dense3d.detection3d.box_bins import heading_to_bin
from dense3d.errors import DataError
from dense3d.ops import points_in_boxes_all

VOTES = 3  # that a point may have


@dataclass
class BoxTargets:
    """True boxes of a batch, each scene filled up with zeros to G boxes.

    Attributes:
        boxes: ``(B, G, 7)``, world frame.
        real: ``(B, G)`` bool.
        labels: ``(B, G)``. kinds: ``(B, G)``, which of the mean sizes is theirs.
        heading_bins: ``(B, G)``. heading_rests: ``(B, G)``, radians; both of the clockwise heading.
    """

    boxes: Tensor
    real: Tensor
    labels: Tensor
    kinds: Tensor
    heading_bins: Tensor
    heading_rests: Tensor


def box_targets(
    boxes: Sequence[Tensor], labels: Sequence[Tensor], num_heading_bins: int, mean_sizes: Tensor | None = None
) -> BoxTargets:
    """Boxes of several scenes in one.

    Args:
        boxes: ``(K_i, 7)`` of each scene.
        labels: ``(K_i,)``.
        mean_sizes: ``(NS, 3)``; a box belongs to the one that is nearest to its size. Without them there is
            one for each class.
        num_heading_bins: of a turn; with 1 the boxes must lie along the axes.

    Raises:
        DataError: a box has no volume, or is turned where none may be.

    Example:
        >>> boxes, labels = [torch.ones(1, 7), torch.zeros(0, 7)], [torch.ones(1), torch.zeros(0)]
        >>> targets = box_targets(boxes, labels, 12)
        >>> targets.real.tolist()
        [[True, False], [False, False]]
    """
    most = 1 + max(len(one) for one in boxes)  # so that each scene has a place for padding
    filled = boxes[0].new_zeros(len(boxes), most, 7)
    numbers = torch.zeros(len(boxes), most, dtype=torch.long, device=filled.device)
    real = torch.zeros_like(numbers, dtype=torch.bool)
    for scene, (one, its_labels) in enumerate(zip(boxes, labels)):
        if len(one) and not (one[:, 3:6] > 0).all():
            raise DataError(f"a box of scene {scene} of the batch has no volume: {one.tolist()}")
        filled[scene, : len(one)], numbers[scene, : len(one)] = one, its_labels.long()
        real[scene, : len(one)] = True
    if num_heading_bins == 1 and (filled[..., 6].abs() > 1e-3).any():
        raise DataError(
            "boxes are turned and the network has one bin for headings: set num_heading_bins=12, or have the "
            "pipeline make boxes along the axes"
        )
    bins, rests = heading_to_bin(-filled[..., 6], num_heading_bins)
    kinds = numbers
    if mean_sizes is not None:
        kinds = torch.cdist(filled[..., 3:6], mean_sizes[None].to(filled)).argmin(dim=2)
    return BoxTargets(filled, real, numbers, kinds, bins, rests)


def box_votes(points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of the boxes that points lie in, as SUN RGB-D's data set votes.

    A point in several boxes has a vote for each of the first two and for the last; missing ones repeat the
    first.

    Args:
        points: ``(S, 3)``.
        boxes: ``(K, 7)``, world frame.

    Returns:
        ``(S, 3, 3)``, places to vote for, and ``(S,)`` bool, whether there is one.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0]])
        >>> places, real = box_votes(torch.tensor([[0.5, 0.5, 0.5], [3.0, 0.0, 0.0]]), boxes)
        >>> places[0, 0].tolist(), real.tolist()
        ([0.0, 0.0, 0.0], [True, False])
    """
    places = points[:, None].expand(-1, VOTES, -1).clone()
    if not len(boxes):
        return places, torch.zeros(len(points), dtype=torch.bool, device=points.device)
    standing = boxes.clone()
    standing[:, 2] -= standing[:, 5] / 2  # the op counts from the bottom
    inside = points_in_boxes_all(points[None], standing[None])[0] > 0  # (S, K)
    rank = inside.cumsum(dim=1)
    order = torch.arange(len(boxes), device=boxes.device)
    for vote, wanted in enumerate((rank == 1, rank == 2, rank >= 3)):
        there = wanted & inside
        last = torch.where(there, order, -1).amax(dim=1)  # (S,)
        has = last >= 0
        if vote == 0:
            places[has] = boxes[last[has], None, :3]
        else:
            places[has, vote] = boxes[last[has], :3]
    return places, inside.any(dim=1)


def instance_votes(points: Tensor, instances: Tensor, seed_indices: Tensor) -> tuple[Tensor, Tensor]:
    """Middles of the points' own instances, as ScanNet's data set votes.

    The middle is that of the axis-aligned hull of the instance's points in the cloud.

    Args:
        points: ``(N, 3)``.
        instances: ``(N,)``, -1 for none.
        seed_indices: ``(S,)``, places of the seeds in the cloud.

    Returns:
        ``(S, 3, 3)``, places to vote for, and ``(S,)`` bool, whether there is one.

    Example:
        >>> points = torch.tensor([[0.0, 0, 0], [2.0, 0, 0], [9.0, 0, 0]])
        >>> places, real = instance_votes(points, torch.tensor([4, 4, -1]), torch.tensor([0, 2]))
        >>> places[0, 0].tolist(), real.tolist()
        ([1.0, 0.0, 0.0], [True, False])
    """
    count = int(instances.max()) + 2
    own = (instances + 1)[:, None].expand(-1, 3)
    low = points.new_full((count, 3), torch.inf).scatter_reduce(0, own, points, "amin")
    high = points.new_full((count, 3), -torch.inf).scatter_reduce(0, own, points, "amax")
    of_seed = instances[seed_indices]
    real = of_seed >= 0
    middle = (low + high)[of_seed + 1] / 2
    places = torch.where(real[:, None], middle, points[seed_indices])
    return places[:, None].expand(-1, VOTES, -1), real
