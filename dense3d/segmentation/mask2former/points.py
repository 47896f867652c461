"""Points at which masks are compared instead of at all pixels.

Kirillov et al., "PointRend", CVPR 2020; Cheng et al., Mask2Former, CVPR 2022, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dense3d.ops import point_sample

Draw = Callable[[Sequence[int], torch.device], Tensor]


def uniform(shape: Sequence[int], device: torch.device) -> Tensor:
    """Numbers in [0, 1) from torch's global generator of the device, so that a seed reproduces them."""
    return torch.rand(*shape, device=device)


@torch.no_grad()
def uncertain_points(
    logits: Tensor, number: int, oversample: float = 3.0, importance: float = 0.75, draw: Draw = uniform
) -> Tensor:
    """Points ``(M, number, 2)``, most of them where a mask is uncertain.

    Of ``oversample * number`` random points those ``importance * number`` with the smallest absolute logit,
    as sampled there, come first; the rest are new random points.

    Args:
        logits: ``(M, h, w)`` of M masks.
        number: P.
        oversample: candidates a point.
        importance: share of points chosen by uncertainty.
        draw: source of the uniform numbers.

    Returns:
        (x, y) in fractions of the map.

    Example:
        >>> uncertain_points(torch.zeros(2, 4, 4), number=8).shape
        torch.Size([2, 8, 2])
    """
    masks, certain = len(logits), int(importance * number)
    candidates = draw((masks, int(number * oversample), 2), logits.device)
    uncertainty = -point_sample(logits[:, None].float(), candidates)[:, 0].abs()
    chosen = uncertainty.topk(certain, dim=1).indices
    points = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    return torch.cat((points, draw((masks, number - certain, 2), logits.device)), dim=1)


def at_points(masks: Tensor, points: Tensor) -> Tensor:
    """Values of masks ``(M, h, w)`` at their own points ``(M, P, 2)``: ``(M, P)``.

    Example:
        >>> at_points(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[0.5, 0.5]]])).tolist()
        [[0.5]]
    """
    return point_sample(masks[:, None].float(), points)[:, 0]
