"""Inverse depth of a rectified pair, and one image as the other camera sees it.

Conventions of monodepth2 and CCNeXt. Two rectified cameras differ by a shift along x alone, so that of
intrinsics and pose nothing but ``focal * shift`` is left: a pixel at depth Z moves by ``focal * shift / Z``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_EPSILON = 1e-5  # added to the depth that pixels are divided by, as in the official projection


def scaled_inverse_depth(sigmoid: Tensor, min_depth: float = 0.1, max_depth: float = 100.0) -> Tensor:
    """Inverse depth of a network's map in (0, 1): linear from ``1 / max_depth`` to ``1 / min_depth``.

    Example:
        >>> scaled_inverse_depth(torch.tensor([0.0, 1.0])).tolist()
        [0.009999999776482582, 10.0]
    """
    return 1 / max_depth + (1 / min_depth - 1 / max_depth) * sigmoid


def moved_coordinates(depth: Tensor, shift: Tensor, offset: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """Where the pixels of one camera lie in the other's image.

    Args:
        depth: ``(B, 1, H, W)``.
        shift: ``(B,)``, focal length in pixels times the shift along x in units of the depth; negative where
            matches lie to the left.
        offset: ``(B,)`` or a number, pixels that are added: the distance of principal points.

    Returns:
        x and y in pixels, ``(B, H, W)`` each.

    Example:
        >>> x, y = moved_coordinates(torch.full((1, 1, 1, 3), 2.0), torch.tensor([-2.0]))
        >>> x.round(decimals=3).tolist(), y.tolist()
        ([[[-1.0, 0.0, 1.0]]], [[[0.0, 0.0, 0.0]]])
    """
    depth = depth[:, 0]
    height, width = depth.shape[-2:]
    x = torch.arange(width, dtype=depth.dtype, device=depth.device)
    y = torch.arange(height, dtype=depth.dtype, device=depth.device)[:, None]
    nearer = depth + _EPSILON
    shift, offset = (torch.as_tensor(v, dtype=depth.dtype, device=depth.device) for v in (shift, offset))
    moved = (x * depth + shift.reshape(-1, 1, 1)) / nearer + offset.reshape(-1, 1, 1)
    return moved, y * depth / nearer


def warp_along_rows(
    image: Tensor, depth: Tensor, shift: Tensor, offset: Tensor | float = 0.0, exact: bool = False
) -> Tensor:
    """An image as the camera sees it that ``depth`` belongs to.

    Args:
        image: ``(B, C, H, W)`` of the other camera.
        depth: ``(B, 1, H, W)`` of this camera.
        shift, offset: see :func:`moved_coordinates`.
        exact: sample at the coordinates themselves. Otherwise as the official code does, which normalises
            coordinates by the centres of the outer pixels and samples by their edges: what is read lies up to
            half a pixel farther out, at the borders of the image.

    Returns:
        ``(B, C, H, W)``, border values beyond the image.

    Example:
        >>> image = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1, 1, 2, 4)
        >>> depth = torch.ones(1, 1, 2, 4)
        >>> warped = warp_along_rows(image, depth, torch.tensor([-1.0]), exact=True)
        >>> warped[0, 0, 0].round(decimals=3).tolist()
        [0.0, 0.0, 1.0, 2.0]
    """
    height, width = image.shape[-2:]
    x, y = moved_coordinates(depth, shift, offset)
    grid = torch.stack([x / max(width - 1, 1), y / max(height - 1, 1)], dim=-1) * 2 - 1
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=exact)


def hidden_pixels(
    depth: Tensor, shift: Tensor, offset: Tensor | float = 0.0, tolerance: float = 0.5
) -> Tensor:
    """Pixels that the other camera does not see: beyond its image, or behind something nearer.

    Along a row, what the other camera sees keeps its order. A pixel whose match lies beyond the match of a
    pixel that should come after it is covered by that one.

    Args:
        depth: ``(B, 1, H, W)``.
        shift, offset: see :func:`moved_coordinates`.
        tolerance: pixels by which the order may be violated.

    Returns:
        Boolean ``(B, 1, H, W)``.

    Example:
        >>> depth = torch.tensor([8.0, 8.0, 8.0, 8.0, 8.0, 2.0, 2.0, 8.0]).reshape(1, 1, 1, 8)
        >>> hidden_pixels(depth, torch.tensor([-8.0])).flatten().int().tolist()
        [1, 0, 0, 1, 1, 0, 0, 0]
    """
    x, _ = moved_coordinates(depth, shift, offset)  # (B, H, W)
    to_left = (torch.as_tensor(shift, device=x.device) < 0).reshape(-1, 1, 1)
    x = torch.where(to_left, x, (x.shape[-1] - 1 - x).flip(-1))  # all as if matches lay to the left
    first = x.flip(-1).cummin(dim=-1).values.flip(-1)  # of this and of all that come after it
    hidden = (x < -tolerance) | (x > first + tolerance)
    return torch.where(to_left, hidden, hidden.flip(-1))[:, None]
