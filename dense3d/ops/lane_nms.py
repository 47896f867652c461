"""Non-maximum suppression of lane lines (Zheng et al., "CLRNet", CVPR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.ops.dispatch import register_backend

HEADER = 5  # two class scores, start y, start x, length


def line_nms(lines: Tensor, scores: Tensor, threshold: float, top_k: int) -> tuple[Tensor, Tensor]:
    """Keep the best of the lines whose mean horizontal distance is less than ``threshold``.

    Args:
        lines: ``(N, 5 + P)``: two class scores, start y in [0, 1], start x, length in points, and the
            x coordinates at P equally spaced heights.
        scores: ``(N,)``.
        threshold: in the unit of the x coordinates, over the heights that both lines cover.
        top_k: keep at most that many.

    Returns:
        indices of the kept lines ``(K,)`` by falling score, and for every line ``(N,)`` the place in that
        list, counted from 1, of the line that it went into (0: none within the ``top_k``).

    Example:
        >>> lines = torch.zeros(3, 9)
        >>> lines[:, 4] = 4  # all four points
        >>> lines[2, 5:] = 50
        >>> line_nms(lines, torch.tensor([0.9, 0.8, 0.7]), 10.0, 5)[0].tolist()
        [0, 2]
    """
    from dense3d.ops import _suppression

    order = scores.argsort(descending=True, stable=True)
    close = _mean_distances(lines[order].float()) < threshold  # (N, N)
    leader = torch.from_numpy(_suppression.greedy_leaders(close.cpu().numpy())).to(order.device)
    is_kept = leader == torch.arange(len(order), device=order.device)
    place = is_kept.cumsum(0) * is_kept
    parents = torch.empty_like(order)
    parents[order] = torch.where(place[leader] <= top_k, place[leader], 0)
    return order[is_kept][:top_k], parents


def _mean_distances(lines: Tensor) -> Tensor:
    """Mean distance over the common heights of each pair ``(N, N)``; infinite when they have none."""
    points = lines.shape[1] - HEADER
    start = (lines[:, 2] * (points - 1) + 0.5).long()
    end = (start + (lines[:, 4] - 0.5).floor().long()).clamp(max=points - 1)
    height = torch.arange(points, device=lines.device)
    covered = (height >= start[:, None]) & (height <= end[:, None])  # (N, P)
    both = covered[:, None] & covered[None]  # (N, N, P)
    distance = (lines[:, None, HEADER:] - lines[None, :, HEADER:]).abs()
    count = both.sum(-1)
    mean = torch.where(both, distance, 0).sum(-1) / count
    return torch.where((count > 0) & (start >= 0)[:, None] & (start >= 0)[None], mean, torch.inf)


register_backend("line_nms", "torch", implementation=line_nms)
