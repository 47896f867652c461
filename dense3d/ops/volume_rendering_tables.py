"""Transfer functions as tensors: piecewise linear ones, and their exact pre-integrated tables.

A transfer function has P control points: positions (P,) in ascending order and rows (P, 4) of straight red,
green, blue and extinction per unit length, all linear between the points and constant outside. Equal
positions make a step: the later row holds from the position on.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

NODES = 16  # of the Gauss-Legendre rule; exact to 1e-7 for an optical depth of 30 and better below
DEPTH_OF_A_PART = 20.0


def piecewise_linear(scalars: Tensor, positions: Tensor, rows: Tensor) -> Tensor:
    """Values of a piecewise linear function.

    Args:
        scalars: (...).
        positions: (P,) ascending.
        rows: (P, K) values at the positions.

    Returns:
        (..., K); differentiates with respect to everything.

    Example:
        >>> positions, rows = torch.tensor([0.0, 1.0]), torch.tensor([[0.0], [8.0]])
        >>> piecewise_linear(torch.tensor([-1.0, 0.25, 2.0]), positions, rows)
        tensor([[0.],
                [2.],
                [8.]])
    """
    if len(positions) == 1:
        return rows[0].expand(*scalars.shape, rows.shape[1])
    piece = torch.searchsorted(positions.detach(), scalars.detach().contiguous(), right=True) - 1
    piece = piece.clamp(0, len(positions) - 2)
    start, width = positions[piece], positions[piece + 1] - positions[piece]
    step = width == 0
    share = torch.where(step, (scalars >= start).to(scalars), (scalars - start) / torch.where(step, 1, width))
    share = share.clamp(0, 1)[..., None]
    return torch.lerp(rows[piece], rows[piece + 1], share.to(rows))


def preintegrated_table(positions: Tensor, rgb_extinction: Tensor, length: float, scalars: Tensor) -> Tensor:
    """Premultiplied colour and opacity of segments along which the scalar runs linearly (Engel et al., 2001).

    The segment is cut where the scalar meets a control point; colour and extinction are linear in between, so
    that optical depths are closed forms and the light is a Gauss-Legendre sum of smooth pieces. Nothing is
    approximated as in the usual tables from prefix integrals, which leave out the absorption in a segment.

    Args:
        positions: (P,) ascending.
        rgb_extinction: (P, 4).
        length: of the segments.
        scalars: (N,) values at their ends.

    Returns:
        (N, N, 4) float64: ``[i, j]`` is the segment with ``scalars[i]`` in front and ``scalars[j]`` behind.

    Example:
        >>> constant = torch.tensor([[1.0, 0.5, 0.0, 2.0]])
        >>> table = preintegrated_table(torch.zeros(1), constant, 0.5, torch.tensor([0.0, 1.0]))
        >>> table[0, 1].round(decimals=4)
        tensor([0.6321, 0.3161, 0.0000, 0.6321], dtype=torch.float64)
    """
    positions, rows, scalars = positions.double(), rgb_extinction.double(), scalars.double()
    parts = max(1, math.ceil(float(rows[:, 3].max()) * length / DEPTH_OF_A_PART))
    parts = min(parts, 64)
    at_once = max(1, (1 << 21) // (len(scalars) * (len(positions) + 1) * parts * NODES))
    return torch.cat(
        [_segments(positions, rows, length, front, scalars, parts) for front in scalars.split(at_once)]
    )


def _segments(
    positions: Tensor, rows: Tensor, length: float, front: Tensor, back: Tensor, parts: int
) -> Tensor:
    """``(F, N, 4)`` for the ends ``front`` (F,) and ``back`` (N,)."""
    nodes, shares = (torch.from_numpy(a).to(rows) for a in np.polynomial.legendre.leggauss(NODES))
    start, change = front[:, None].expand(-1, len(back)), back[None] - front[:, None]
    flat = change == 0
    cuts = (positions - start[..., None]) / torch.where(flat, 1, change)[..., None]  # (F, N, P)
    cuts = torch.where(flat[..., None], 0, cuts).clamp(0, 1)
    ends = (
        torch.cat([torch.zeros_like(cuts[..., :1]), cuts, torch.ones_like(cuts[..., :1])], -1).sort(-1).values
    )
    fractions = torch.arange(parts, dtype=rows.dtype, device=rows.device) / parts
    width = ends.diff(dim=-1)[..., None].expand(*ends.shape[:-1], ends.shape[-1] - 1, parts) / parts
    left = (ends[..., :-1, None] + width * parts * fractions).flatten(-2)  # (F, N, pieces)
    width = width.flatten(-2)
    inner = left[..., None] + width[..., None] * (nodes + 1) / 2  # (F, N, pieces, nodes)

    def at(place: Tensor) -> Tensor:
        scalar = start.reshape(*start.shape, *[1] * (place.dim() - 2))
        return piecewise_linear(scalar + change.reshape(scalar.shape) * place, positions, rows)

    # the extinction is linear in a piece: its integral is its value half-way times the length
    whole = length * width * at(left + width / 2)[..., 3]
    to_node = length * (inner - left[..., None]) * at((inner + left[..., None]) / 2)[..., 3]
    before = whole.cumsum(-1) - whole
    sample = at(inner)
    seen = sample[..., 3] * torch.exp(-before[..., None] - to_node) * shares * (length * width / 2)[..., None]
    colour = (seen[..., None] * sample[..., :3]).sum((-2, -3))
    return torch.cat([colour, -torch.expm1(-whole.sum(-1, keepdim=True))], -1)
