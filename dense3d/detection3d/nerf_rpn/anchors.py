"""Anchors of a pyramid, and which of them answer for which boxes: assignment of the anchor-based head.

Ren et al., "Faster R-CNN", NeurIPS 2015, section 3.1, in three dimensions as NeRF-RPN has it (Hu et al., CVPR
2023, section 3.3; lyclyc52/NeRF_RPN).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dense3d.detection3d.nerf_rpn.box_codes import bounds_of

SIZES = ((8.0,), (16.0,), (32.0,), (64.0,))
RATIOS = ((1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (1.0, 2.0, 2.0), (1.0, 1.0, 3.0), (1.0, 3.0, 3.0))
POSITIVE, NEGATIVE, IGNORED = 1, 0, -1
BOXES_AT_ONCE = 16  # bounds the memory


def aspects(ratios: Sequence[Sequence[float]], normalised: bool = False) -> list[tuple[float, float, float]]:
    """All orders of the sides of each of the given aspect ratios.

    The orders of one ratio come as Python's set holds them, because official checkpoints have their channels
    in this order.

    Args:
        ratios: three sides each.
        normalised: scale each to a volume of 1.

    Example:
        >>> len(aspects(RATIOS)), sorted(aspects([(1, 1, 2)]))
        (13, [(1.0, 1.0, 2.0), (1.0, 2.0, 1.0), (2.0, 1.0, 1.0)])
    """
    found = []
    for ratio in ratios:
        sides = tuple(map(float, ratio))
        scale = math.prod(sides) ** (1 / 3) if normalised else 1.0
        found += [tuple(side / scale for side in order) for order in set(itertools.permutations(sides))]
    return found


def cell_anchors(
    sizes: Sequence[float], ratios: Sequence[Sequence[float]], normalised: bool = False
) -> Tensor:
    """Anchors ``(A, 6)`` around the origin, as bounds in whole voxels: every size of every aspect.

    Args:
        sizes: of the side that an aspect has as 1, in voxels.
        ratios, normalised: see :func:`aspects`.

    Example:
        >>> cell_anchors([8.0], [(1.0, 1.0, 1.0)]).tolist()
        [[-4.0, -4.0, -4.0, 4.0, 4.0, 4.0]]
    """
    sides = torch.tensor(aspects(ratios, normalised))[:, None] * torch.tensor(list(sizes))[None, :, None]
    half = sides.reshape(-1, 3) / 2
    return torch.cat([-half, half], 1).round()


def level_anchors(cells: Tensor, shape: Sequence[int], strides: Sequence[int]) -> Tensor:
    """Anchors ``(N * A, 6)`` of a level, location by location, z fastest; the first is centred at the origin.

    Args:
        cells: ``(A, 6)``.
        shape: of the level.
        strides: along each axis.
    """
    axes = [
        torch.arange(side, dtype=torch.float32, device=cells.device) * step
        for side, step in zip(shape, strides)
    ]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, 1, 3)
    return (places.repeat(1, 1, 2) + cells).view(-1, 6)


def anchor_strides(side: Sequence[int], shape: Sequence[int]) -> tuple[int, int, int]:
    """What the official code takes for the strides of a level: sides of the grid over those of the level.

    For grids whose sides are no multiples of the stride they are smaller than the network's.

    Example:
        >>> anchor_strides((64, 50, 41), (16, 13, 11))
        (4, 3, 3)
    """
    return tuple(whole // part for whole, part in zip(side, shape))


def inside(shape: Sequence[int], strides: Sequence[int], sizes: Tensor) -> Tensor:
    """``(B, X, Y, Z)`` whether locations of a level lie in the grids before padding, ``sizes`` (B, 3)."""
    limits = -(-sizes // torch.tensor(strides, device=sizes.device))  # (B, 3), rounded up
    masks = [
        torch.arange(side, device=sizes.device) < limits[:, axis, None] for axis, side in enumerate(shape)
    ]
    return masks[0][:, :, None, None] & masks[1][:, None, :, None] & masks[2][:, None, None, :]


def bounds_iou(bounds: Tensor, others: Tensor) -> Tensor:
    """IoU ``(M, N)`` of bounds ``(M, 6)`` and ``(N, 6)``.

    Example:
        >>> bounds_iou(torch.tensor([[0.0, 0, 0, 2, 2, 2]]), torch.tensor([[0.0, 0, 0, 2, 2, 1]])).item()
        0.5
    """
    volumes = [(part[:, 3:] - part[:, :3]).prod(1) for part in (bounds, others)]
    found = []
    for own, volume in zip(bounds.split(BOXES_AT_ONCE), volumes[0].split(BOXES_AT_ONCE)):
        low, high = (
            torch.maximum(own[:, None, :3], others[:, :3]),
            torch.minimum(own[:, None, 3:], others[:, 3:]),
        )
        common = (high - low).clamp(min=0).prod(-1)
        found.append(common / (volume[:, None] + volumes[1] - common))
    return torch.cat(found) if found else volumes[1].new_zeros(0, len(others))


def assign_anchors(
    anchors: Tensor, boxes: Tensor, positive_iou: float, negative_iou: float, valid: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Labels of the anchors of a scene, and the boxes that they answer for.

    An anchor is positive from ``positive_iou`` with the bounds of a box on, negative below ``negative_iou``
    with all, and ignored between. For every box that any anchor overlaps, those that do most are positive,
    too.

    Args:
        anchors: ``(N, 6)``.
        boxes: ``(K, 7)``.
        positive_iou, negative_iou: see above.
        valid: ``(N,)`` bool; others are ignored.

    Returns:
        ``(N,)`` int64 of 1, 0 and -1, and ``(N,)`` rows of the boxes, without meaning where not positive.
    """
    labels = torch.full((len(anchors),), NEGATIVE, device=anchors.device)
    best = torch.zeros_like(labels)
    if len(boxes):
        overlaps = bounds_iou(bounds_of(boxes), anchors)  # (K, N)
        if valid is not None:
            overlaps.masked_fill_(~valid, -1.0)
        most, best = overlaps.max(0)
        labels[most >= negative_iou] = IGNORED
        labels[most >= positive_iou] = POSITIVE
        greatest = overlaps.amax(1, keepdim=True)
        labels[((overlaps == greatest) & (greatest > 0)).any(0)] = POSITIVE
    if valid is not None:
        labels[~valid] = IGNORED
    return labels, best


def draw_samples(labels: Tensor, count: int, positive_share: float) -> tuple[Tensor, Tensor]:
    """Random anchors of a scene that the losses are taken of.

    Args:
        labels: ``(N,)`` of :func:`assign_anchors`.
        count: at most that many.
        positive_share: at most this share of them is positive; negatives fill up.

    Returns:
        rows of positive and of negative ones.
    """
    positive, negative = (labels == POSITIVE).nonzero().flatten(), (labels == NEGATIVE).nonzero().flatten()
    drawn = min(len(positive), int(count * positive_share))
    positive = positive[torch.randperm(len(positive), device=labels.device)[:drawn]]
    negative = negative[torch.randperm(len(negative), device=labels.device)[: count - drawn]]
    return positive, negative
