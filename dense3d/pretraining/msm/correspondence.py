"""Voxels of two views with the same points, and one view's features for the other's voxels."""

from __future__ import annotations

import torch
from torch import Tensor


def common_points(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Where two lists have the same numbers.

    Args:
        first: ``(N,)`` int64.
        second: ``(M,)`` int64; of a number that it has several times, one place counts.

    Returns:
        ``(K,)`` places in ``first``, rising, and ``(K,)`` places in ``second``.

    Example:
        >>> [places.tolist() for places in common_points(torch.tensor([7, 5, 9]), torch.tensor([9, 7]))]
        [[0, 2], [1, 0]]
    """
    values, order = second.sort()
    at = torch.searchsorted(values, first).clamp(max=max(len(values) - 1, 0))
    if not len(values):
        return at[:0], at[:0]
    same = values[at] == first
    return same.nonzero()[:, 0], order[at[same]]


def partners(index: Tensor, scene: Tensor, scenes: int) -> tuple[Tensor, Tensor]:
    """Pairs of the same point in the two views of each scene, in both directions.

    Args:
        index: ``(R,)`` int64, the number of each point in its cloud, from 0.
        scene: ``(R,)`` int64 ascending: 0 to B - 1 the first views of the scenes, B to 2 B - 1 the second.
        scenes: B.

    Returns:
        ``(P,)`` places of points, and ``(P,)`` of the same points in the other view.

    Example:
        >>> pairs = partners(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 1, 1]), 1)
        >>> [places.tolist() for places in pairs]
        [[1, 2], [2, 1]]
    """
    span = int(index.max()) + 1 if len(index) else 1
    keys = scene.remainder(scenes) * span + index
    border = int((scene < scenes).sum())
    one, other = common_points(keys[:border], keys[border:])
    other = other + border
    return torch.cat([one, other]), torch.cat([other, one])


def transferred(features: Tensor, source: Tensor, target: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of one view's features over the points that a voxel of the other view has in common with it.

    Args:
        features: ``(V, C)``, of all voxels of both views.
        source: ``(P,)`` int64, the voxel of each pair's first point.
        target: ``(P,)`` int64, the voxel of its partner, whose features are taken.
        wanted: ``(V,)`` bool, voxels that features are wanted for.

    Returns:
        ``(K,)`` int64 wanted voxels that have a common point, rising, and ``(K, C)`` their mean features.

    Example:
        >>> features = torch.tensor([[0.0], [4.0], [8.0]])
        >>> source, target = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 2])
        >>> voxels, means = transferred(features, source, target, torch.tensor([True, True, False]))
        >>> voxels.tolist(), means.tolist()  # voxel 1 has no common point
        ([0], [[5.333333492279053]])
    """
    kept = wanted[source]
    keys, counts = torch.unique(source[kept] * len(features) + target[kept], return_counts=True)
    voxels, place, pairs = torch.unique_consecutive(
        keys.div(len(features), rounding_mode="floor"), return_inverse=True, return_counts=True
    )
    weights = counts.to(features.dtype)
    total = weights.new_zeros(len(pairs)).index_add(0, place, weights)
    rows = features[keys.remainder(len(features))] * (weights / total[place])[:, None]
    return voxels, features.new_zeros(len(voxels), features.shape[1]).index_add(0, place, rows)
