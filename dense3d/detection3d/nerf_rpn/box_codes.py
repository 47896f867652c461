"""How NeRF-RPN's heads write boxes: by distances from a location, or by differences from an anchor.

Both say how a box is turned by two offsets within its axis-aligned bounds: those of the corners that touch
two of the bounds' sides ("midpoint offsets", Xie et al., "Oriented R-CNN", ICCV 2021). Boxes are
``(x, y, z, x_size, y_size, z_size, yaw)`` in voxels, z up, centres, as :func:`dense3d.ops.box_iou_3d` takes
them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dense3d.structures import Boxes3D, boxes_of_corners

SAME_CORNER = 0.1  # voxels: corners as near as that to a side of the bounds both touch it
EPS = 1e-7
MOST_GROWTH = abs(math.log(16 / 1000))  # of an oriented box over its anchor, in logarithms
MOST_AXIS_ALIGNED_GROWTH = math.log(2000.0)


def bounds_of(boxes: Tensor) -> Tensor:
    """Axis-aligned bounds ``(N, 6)`` of boxes ``(N, 7)``: least x, y and z, then the greatest.

    Example:
        >>> bounds_of(torch.tensor([[4.0, 4.0, 4.0, 2.0, 6.0, 8.0, torch.pi / 2]])).round().tolist()
        [[1.0, 3.0, 0.0, 7.0, 5.0, 8.0]]
    """
    cosine, sine = boxes[:, 6].cos().abs(), boxes[:, 6].sin().abs()
    reach_x = boxes[:, 3] * cosine + boxes[:, 4] * sine
    reach_y = boxes[:, 3] * sine + boxes[:, 4] * cosine
    half = torch.stack([reach_x, reach_y, boxes[:, 5]], 1) / 2
    return torch.cat([boxes[:, :3] - half, boxes[:, :3] + half], 1)


def corner_offsets(boxes: Tensor) -> Tensor:
    """How boxes ``(N, 7)`` lie in their bounds: ``(N, 2)`` in -0.5..0.5.

    The x of the corner of greatest y and the y of the corner of greatest x, from the centre, by the sizes of
    the bounds. Of corners that both touch a side the one of greatest x, and that of least y, counts, so that
    a box along the axes has (0.5, -0.5).

    Example:
        >>> corner_offsets(torch.tensor([[0.0, 0, 0, 4, 2, 2, 0], [0, 0, 0, 2, 2, 2, torch.pi / 4]])).tolist()
        [[0.5, -0.5], [0.0, 0.0]]
    """
    corners = Boxes3D(boxes, "world").footprint_corners()  # (N, 4, 2)
    x, y = corners.unbind(-1)
    left, right, low, high = x.amin(1), x.amax(1), y.amin(1), y.amax(1)
    top_x = x.masked_fill(high[:, None] - y > SAME_CORNER, -torch.inf).amax(1)
    right_y = y.masked_fill(right[:, None] - x > SAME_CORNER, torch.inf).amin(1)
    straight = torch.isclose(top_x, right) & torch.isclose(right_y, low)
    top_x, right_y = torch.where(straight, right, top_x), torch.where(straight, low, right_y)
    return torch.stack([(top_x - boxes[:, 0]) / (right - left), (right_y - boxes[:, 1]) / (high - low)], 1)


def encode_at(locations: Tensor, boxes: Tensor) -> Tensor:
    """Codes of boxes seen from locations.

    Args:
        locations: ``(N, 3)`` in voxels.
        boxes: ``(N, 7)``.

    Returns:
        ``(N, 8)``: distances to the bounds' least x, y and z and to the greatest, then
        :func:`corner_offsets`.
    """
    bounds = bounds_of(boxes)
    distances = torch.cat([locations - bounds[:, :3], bounds[:, 3:] - locations], 1)
    return torch.cat([distances, corner_offsets(boxes)], 1)


def decode_at(locations: Tensor, codes: Tensor) -> Tensor:
    """The inverse of :func:`encode_at`: boxes ``(N, 7)`` of codes ``(N, 8)``, or ``(N, 6)`` along the axes.

    The two corners are clamped to the bounds and moved to one distance from the centre, so that they and
    their mirror images make a rectangle; the yaw is in -pi..pi.

    Example:
        >>> box, place = torch.tensor([[8.0, 6.0, 4.0, 6.0, 3.0, 2.0, 0.4]]), torch.tensor([[7.0, 6.0, 4.0]])
        >>> torch.allclose(decode_at(place, encode_at(place, box)), box, atol=1e-4)
        True
    """
    low, high = locations - codes[:, :3], locations + codes[:, 3:6]
    if codes.shape[1] == 6:
        return boxes_of_corners(torch.cat([low, high], 1))
    centre, size = (low + high) / 2, high - low
    flat = centre[:, :2]
    # Rounded as the official code rounds: whether a box that is squeezed flat has an extent of exactly 0
    # decides what becomes of it, see Proposals.suppressed.
    offsets = flat + codes[:, 6:] * size[:, :2]
    offsets = torch.minimum(torch.maximum(offsets, low[:, :2]), high[:, :2])
    top = torch.stack([offsets[:, 0], high[:, 1]], 1) - flat  # (N, 2)
    right = torch.stack([high[:, 0], offsets[:, 1]], 1) - flat
    top, right = (corner + flat for corner in _equally_far(top, right))
    middle = (top + right) / 2 - flat  # of the side between the two
    y_size = torch.linalg.vector_norm(top - right, dim=1)
    x_size = 2 * torch.linalg.vector_norm(middle, dim=1)
    nowhere = (middle == 0).all(1)
    yaw = torch.atan2(middle[:, 1], torch.where(nowhere, EPS, middle[:, 0]))
    return torch.cat([centre, torch.stack([x_size, y_size, size[:, 2], yaw], 1)], 1)


def _equally_far(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two vectors ``(N, 2)`` lengthened to the longer of the two."""
    lengths = [torch.linalg.vector_norm(vector, dim=1, keepdim=True) for vector in (first, second)]
    longest = torch.maximum(*lengths)
    return first / (lengths[0] + EPS) * longest, second / (lengths[1] + EPS) * longest


def encode_from(anchors: Tensor, boxes: Tensor, rotated: bool = True) -> Tensor:
    """Codes of boxes as differences from anchors.

    Args:
        anchors: bounds ``(N, 6)`` in voxels.
        boxes: ``(N, 7)``.
        rotated: also say how the boxes are turned; otherwise their bounds are coded.

    Returns:
        ``(N, 8)`` or ``(N, 6)``: offset of the centre by the anchor's sizes, logarithms of the bounds' sizes
        by the anchor's, and the offsets of two corners by the bounds' sizes. The official code turns corners
        the other way than elsewhere: these are the x of the corner of least y, and the y of the corner of
            greatest
        x, of the box with the yaw negated.
    """
    bounds = bounds_of(boxes)
    size, anchor_size = bounds[:, 3:] - bounds[:, :3], anchors[:, 3:] - anchors[:, :3]
    centre, anchor_centre = (bounds[:, 3:] + bounds[:, :3]) / 2, (anchors[:, 3:] + anchors[:, :3]) / 2
    codes = [(centre - anchor_centre) / anchor_size, (size / anchor_size).log()]
    if rotated:
        codes.append(_mirrored_offsets(boxes, size))
    return torch.cat(codes, 1)


def _mirrored_offsets(boxes: Tensor, size: Tensor) -> Tensor:
    """``(N, 2)`` offsets of the corner of least y and of greatest x of mirrored boxes."""
    mirrored = torch.cat([boxes[:, :6], -boxes[:, 6:]], 1)
    x, y = (Boxes3D(mirrored, "world").footprint_corners() - boxes[:, None, :2]).unbind(-1)  # (N, 4) each
    bottom_x = x.masked_fill(y - y.amin(1, keepdim=True) > SAME_CORNER, -torch.inf).amax(1)
    right_y = y.masked_fill(x.amax(1, keepdim=True) - x > SAME_CORNER, -torch.inf).amax(1)
    return torch.stack([bottom_x, right_y], 1) / size[:, :2]


def decode_from(anchors: Tensor, codes: Tensor) -> Tensor:
    """The inverse of :func:`encode_from`: boxes ``(N, 7)`` of codes ``(N, 8)``, or ``(N, 6)`` along the axes.

    Turned boxes come with ``x_size >= y_size`` and the yaw in [-pi/2, pi/2).

    Example:
        >>> box = torch.tensor([[8.0, 6.0, 4.0, 6.0, 3.0, 2.0, 0.4]])
        >>> anchor = torch.tensor([[0.0, 0, 0, 8, 8, 8]])
        >>> torch.allclose(decode_from(anchor, encode_from(anchor, box)), box, atol=1e-4)
        True
    """
    anchor_size = anchors[:, 3:] - anchors[:, :3]
    rotated = codes.shape[1] == 8
    growth = codes[:, 3:6].clamp(
        min=-MOST_GROWTH if rotated else None, max=MOST_GROWTH if rotated else MOST_AXIS_ALIGNED_GROWTH
    )
    size = anchor_size * growth.exp()
    centre = (anchors[:, 3:] + anchors[:, :3]) / 2 + codes[:, :3] * anchor_size
    if not rotated:
        return torch.cat([centre, size, torch.zeros_like(size[:, :1])], 1)
    offsets = codes[:, 6:].clamp(-0.5, 0.5) * size[:, :2]
    bottom = torch.stack([offsets[:, 0], -size[:, 1] / 2], 1)
    right = torch.stack([size[:, 0] / 2, offsets[:, 1]], 1)
    bottom, right = _equally_far(bottom, right)
    along = right - bottom  # one side of the rectangle; the other one goes from right to -bottom
    sides = [torch.linalg.vector_norm(side, dim=1) for side in (along, right + bottom)]
    yaw = -torch.atan2(along[:, 1], along[:, 0] + EPS)
    longer = sides[0] > sides[1]
    yaw = torch.where(longer, yaw, yaw + math.pi / 2)
    yaw = torch.remainder(yaw + math.pi / 2, math.pi) - math.pi / 2
    footprint = torch.stack([torch.maximum(*sides), torch.minimum(*sides)], 1)
    return torch.cat([centre, footprint, size[:, 2:], yaw[:, None]], 1)
