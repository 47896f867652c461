"""A cloud cut into overlapping patches: spread centres and the nearest neighbours of each."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import farthest_point_sample, gather_points, group_points, knn


class Patches(NamedTuple):
    """Patches of a batch of clouds.

    Attributes:
        points: ``(B, G, K, 3)``, each point less the centre of its patch, the nearest first.
        centres: ``(B, G, 3)``.
        centre_indices: ``(B, G)``, places of the centres in the cloud.
        indices: ``(B, G, K)``, places of the points in the cloud.
    """

    points: Tensor
    centres: Tensor
    centre_indices: Tensor
    indices: Tensor


def group_patches(
    points: Tensor,
    num_groups: int,
    group_size: int,
    skip_origin: bool = True,
    lengths: Tensor | None = None,
) -> Patches:
    """Farthest points of each cloud as centres, and their nearest neighbours as patches.

    Pang et al., "Masked Autoencoders for Point Cloud Self-supervised Learning", ECCV 2022, section 3.1. The
    centre is its own first neighbour; patches are moved to their centres and not scaled.

    Args:
        points: ``(B, N, 3)``; the first point of each cloud is its first centre.
        num_groups: G.
        group_size: K.
        skip_origin: leave points within sqrt(1e-3) of the origin out of the choice of centres, as the
            operator of the official code does.
        lengths: ``(B,)``, how many first points of each cloud count; all unless given.

    Raises:
        DataError: a cloud has fewer points than there are groups or neighbours.

    Example:
        >>> import torch
        >>> patches = group_patches(torch.rand(2, 100, 3), num_groups=8, group_size=4)
        >>> patches.points.shape, patches.centres.shape
        (torch.Size([2, 8, 4, 3]), torch.Size([2, 8, 3]))
    """
    fewest = points.shape[1] if lengths is None else int(lengths.min())
    if fewest < max(num_groups, group_size):
        raise DataError(
            f"a cloud of {fewest} points cannot be cut into {num_groups} groups of {group_size}: give clouds "
            f"of {max(num_groups, group_size)} points or more, or a network of fewer and smaller groups"
        )
    centre_indices = farthest_point_sample(points, num_groups, skip_origin=skip_origin, lengths=lengths)
    centres = gather_points(points, centre_indices)
    indices = knn(centres, points, group_size, lengths=lengths)[1]
    return Patches(group_points(points, centres, indices), centres, centre_indices, indices)
