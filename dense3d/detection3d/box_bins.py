"""Headings as a bin and what is left over, as VoteNet and 3DETR predict them.

Qi et al., "Frustum PointNets", CVPR 2018, section 4.3. Bins are centred on multiples of ``2 pi / bins``. The
official networks count headings clockwise seen from above; our yaw is minus that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def heading_to_bin(heading: Tensor, num_bins: int) -> tuple[Tensor, Tensor]:
    """The nearest bin of headings in radians, and the difference to its middle.

    Args:
        heading: any shape, any number of turns.
        num_bins: of a full turn.

    Returns:
        int64 in 0 .. bins - 1, and radians in [-pi / bins, pi / bins), of that shape.

    Example:
        >>> number, rest = heading_to_bin(torch.tensor([0.1, -0.1, 3.2]), 12)
        >>> number.tolist(), [round(r, 4) for r in rest.tolist()]
        ([0, 0, 6], [0.1, -0.1, 0.0584])
    """
    width = 2 * math.pi / num_bins
    shifted = torch.remainder(heading + width / 2, 2 * math.pi)
    number = torch.div(shifted, width, rounding_mode="floor").long().clamp(max=num_bins - 1)
    return number, shifted - (number * width + width / 2)


def bin_to_heading(number: Tensor, rest: Tensor, num_bins: int) -> Tensor:
    """The inverse of :func:`heading_to_bin`: radians, those above pi a turn less.

    One bin stands for boxes along the axes: 0, whatever the rest; its gradient is 0.

    Example:
        >>> round(bin_to_heading(torch.tensor(6), torch.tensor(0.0584), 12).item(), 4)
        -3.0832
    """
    if num_bins == 1:
        return 0 * rest
    heading = number * (2 * math.pi / num_bins) + rest
    return torch.where(heading > math.pi, heading - 2 * math.pi, heading)
