"""Total variation of grids (L. Rudin et al., 1992): Huber's function of the differences of neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

KNEE = 0.05  # differences from which on the penalty grows in proportion to them


def add_variation_gradient(
    grad: Tensor, values: Tensor, weights: tuple[float, float, float, float], planes: slice = slice(None)
) -> None:
    """Add the gradient of ``sum over neighbours of weight * huber(difference)`` to ``grad``, in place.

    With Huber's function ``d^2 / (2 k)`` up to a difference of k = 0.05 and ``|d| - k / 2`` beyond.

    Args:
        grad: (X, Y, Z, 4).
        values: (X, Y, Z, 4).
        weights: of the channels.
        planes: of the first axis; differences among these alone are taken.

    Example:
        >>> values = torch.zeros(3, 1, 1, 4)
        >>> values[1] = 1.0
        >>> grad = torch.zeros_like(values)
        >>> add_variation_gradient(grad, values, (1.0, 0.0, 0.0, 0.5))
        >>> grad[:, 0, 0, 0].tolist(), grad[:, 0, 0, 3].tolist()
        ([-1.0, 2.0, -1.0], [-0.5, 1.0, -0.5])
    """
    own, out = values.detach()[planes], grad[planes]
    scale = torch.tensor(weights).to(own)
    for axis in range(3):
        count = own.shape[axis]
        if count < 2:
            continue
        slope = (own.narrow(axis, 1, count - 1) - own.narrow(axis, 0, count - 1)) / KNEE
        slope = slope.clamp_(-1, 1) * scale
        out.narrow(axis, 1, count - 1).add_(slope)
        out.narrow(axis, 0, count - 1).sub_(slope)
