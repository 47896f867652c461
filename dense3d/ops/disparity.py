"""Disparity maps of rectified pairs: resizing, warping, left-right check, filling of holes.

Maps are tensors ``(..., H, W)`` in pixels, ``x_left - x_right``, positive in front of the rig; a pixel's
integer coordinate is its centre, and whatever is not finite is not known. Whole batches are handled at once,
on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dense3d.errors import DataError

_WHOLE = 1 - 1e-4  # interpolation weights sum to 1 up to rounding


def resize_disparity(disparity: Tensor, size: tuple[int, int]) -> Tensor:
    """A disparity map at another size: bilinear with half-pixel centres, values times the ratio of widths.

    Args:
        disparity: ``(..., H, W)``, pixels at width W, floating.
        size: height and width ``(h, w)`` of the result.

    Returns:
        ``(..., h, w)``, pixels at width w. A value that any unknown pixel has a part in is ``inf``.

    Raises:
        DataError: the map has no rows or columns, or ``size`` is not positive.

    Example:
        >>> resize_disparity(torch.full((1, 4, 8), 6.0), (2, 4))[0, 0].tolist()
        [3.0, 3.0, 3.0, 3.0]
    """
    _check_map(disparity)
    height, width = size
    if min(height, width) < 1:
        raise DataError(f"a disparity map cannot be resized to {height}x{width}: both must be positive")
    lead, columns = disparity.shape[:-2], disparity.shape[-1]
    if tuple(disparity.shape[-2:]) == (height, width):
        return disparity
    known = torch.isfinite(disparity)
    planes = disparity.masked_fill(~known, 0.0).reshape(-1, 1, *disparity.shape[-2:])
    resized = _bilinear(planes, (height, width)).reshape(*lead, height, width) * (width / columns)
    share = _bilinear(known.to(disparity.dtype).reshape(planes.shape), (height, width))
    return resized.masked_fill(share.reshape(resized.shape) < _WHOLE, float("inf"))


def _bilinear(planes: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(planes, size, mode="bilinear", align_corners=False)


def warp_by_disparity(image_right: Tensor, disparity: Tensor, outside: float | None = 0.0) -> Tensor:
    """The right image as the left camera sees it: ``warped[y, x] = image_right[y, x - disparity[y, x]]``.

    Linear interpolation along the row; differentiable in both arguments.

    Args:
        image_right: ``(..., C, H, W)``, floating.
        disparity: ``(..., H, W)`` or ``(..., 1, H, W)`` of the left image, pixels.
        outside: value of pixels whose match lies outside the image or whose disparity is not finite; None
            takes the nearest pixel of the row (and that of disparity 0 where it is not finite).

    Returns:
        ``(..., C, H, W)``.

    Raises:
        DataError: the sizes differ.

    Example:
        >>> right = torch.arange(6.0).reshape(1, 1, 6)
        >>> warp_by_disparity(right, torch.full((1, 6), 1.5)).tolist()
        [[[0.0, 0.0, 0.5, 1.5, 2.5, 3.5]]]
    """
    _check_map(disparity)
    if image_right.ndim > disparity.ndim:
        disparity = disparity.unsqueeze(-3)
    if image_right.shape[-2:] != disparity.shape[-2:] or image_right.ndim != disparity.ndim:
        raise DataError(
            f"an image of shape {tuple(image_right.shape)} cannot be warped by disparity of shape "
            f"{tuple(disparity.shape)}: resize the disparity to the image with resize_disparity"
        )
    width = disparity.shape[-1]
    known = torch.isfinite(disparity)
    column = torch.arange(width, device=disparity.device, dtype=disparity.dtype)
    source = column - disparity.masked_fill(~known, 0.0)  # (..., 1, H, W)
    inside = known & (source >= 0) & (source <= width - 1)
    source = source.clamp(0, width - 1)
    first = source.detach().floor().clamp(max=max(width - 2, 0))
    weight = source - first
    shape = torch.broadcast_shapes(image_right.shape, source.shape)
    image_right = image_right.expand(shape)
    low = first.long().expand(shape)
    high = (low + 1).clamp(max=width - 1)
    warped = image_right.gather(-1, low) * (1 - weight) + image_right.gather(-1, high) * weight
    return warped if outside is None else torch.where(inside, warped, warped.new_tensor(outside))


def left_right_check(left_disparity: Tensor, right_disparity: Tensor, threshold: float = 1.0) -> Tensor:
    """Pixels of the left image that the right one does not see, by the consistency of two disparity maps.

    A left pixel is visible where the right map, at the nearest pixel of its match, differs by at most
    ``threshold``.

    Args:
        left_disparity: ``(..., H, W)``, pixels.
        right_disparity: ``(..., H, W)`` of the right image, also ``x_left - x_right``. From a network: mirror
            both images, exchange them, predict, mirror the prediction.
        threshold: pixels.

    Returns:
        ``(..., H, W)`` bool: occluded, matched outside the image, or not known in one of the maps.

    Raises:
        DataError: the sizes differ.

    Example:
        >>> left = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])  # a near object on the right of the picture
        >>> right = torch.tensor([[0.0, 2.0, 2.0, 0.0, 0.0]])
        >>> left_right_check(left, right).tolist()
        [[False, True, True, False, False]]
    """
    _check_map(left_disparity)
    if left_disparity.shape != right_disparity.shape:
        raise DataError(
            f"left disparity has shape {tuple(left_disparity.shape)}, right {tuple(right_disparity.shape)}: "
            "both must be of one size"
        )
    width = left_disparity.shape[-1]
    known = torch.isfinite(left_disparity)
    column = torch.arange(width, device=left_disparity.device, dtype=left_disparity.dtype)
    match = (column - left_disparity.masked_fill(~known, 0.0)).round()
    inside = known & (match >= 0) & (match <= width - 1)
    seen = right_disparity.gather(-1, match.clamp(0, width - 1).long())
    difference = (left_disparity - seen).abs()  # infinite or NaN where one of them is not known
    return ~(inside & (difference <= threshold))


def fill_from_left(disparity: Tensor, known: Tensor | None = None, rule: str = "left") -> Tensor:
    """Holes filled along rows, as a baseline without holes needs it.

    What the left camera alone sees lies behind an edge, on the left of the nearer object: its disparity is
    that of the pixel before the hole. KITTI's development kit takes the smaller of both sides' instead, which
    differs where something near ends in a hole.

    Args:
        disparity: ``(..., H, W)``, pixels.
        known: ``(..., H, W)`` bool; where the map is finite unless given.
        rule: ``"left"``: the next known pixel to the left; ``"smaller"``: the smaller of the next ones to the
            left and to the right (KITTI's). Where one side has none the other's, and rows without any known
            pixel become the next row's above, else below.

    Returns:
        ``(..., H, W)``; ``inf`` everywhere if nothing is known.

    Raises:
        DataError: another rule, or a mask of another shape.

    Example:
        >>> row = torch.tensor([[float("inf"), 5.0, float("inf"), 3.0, float("inf")]])
        >>> fill_from_left(row).tolist()
        [[5.0, 5.0, 5.0, 3.0, 3.0]]
        >>> fill_from_left(row, rule="smaller").tolist()
        [[5.0, 5.0, 3.0, 3.0, 3.0]]
    """
    _check_map(disparity)
    if rule not in ("left", "smaller"):
        raise DataError(f"holes are filled by the rule 'left' or 'smaller', not {rule!r}")
    known = torch.isfinite(disparity) if known is None else known
    if known.shape != disparity.shape:
        raise DataError(
            f"a mask of shape {tuple(known.shape)} does not belong to disparity of {tuple(disparity.shape)}"
        )
    disparity = disparity.masked_fill(~known, float("inf"))
    left, right = _previous(disparity, known, -1), _following(disparity, known, -1)
    filled = torch.where(torch.isfinite(left), left, right)
    if rule == "smaller":
        filled = torch.minimum(left, right)
    rows = torch.isfinite(filled)  # a row is filled whole or not at all
    above, below = _previous(filled, rows, -2), _following(filled, rows, -2)
    return torch.where(torch.isfinite(above), above, below)


def _previous(values: Tensor, known: Tensor, dim: int) -> Tensor:
    """At each place the value of the last known place up to it along ``dim``; ``inf`` where there is none."""
    length = values.shape[dim]
    place = torch.arange(length, device=values.device)
    place = place if dim == -1 else place[:, None]
    last = torch.where(known, place, -1).cummax(dim).values
    return values.gather(dim, last.clamp(min=0)).masked_fill(last < 0, float("inf"))


def _following(values: Tensor, known: Tensor, dim: int) -> Tensor:
    return _previous(values.flip(dim), known.flip(dim), dim).flip(dim)


def _check_map(disparity: Tensor) -> None:
    if disparity.ndim < 2 or 0 in disparity.shape[-2:]:
        raise DataError(f"a disparity map has rows and columns, not the shape {tuple(disparity.shape)}")
    if not disparity.is_floating_point():
        raise DataError(f"a disparity map holds floating-point pixels, not {disparity.dtype}")
