"""What the two code bases of 3D Gaussian splatting do differently, and what both do.

The mathematics is that of Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering",
SIGGRAPH 2023. ``gsplat`` stands for gsplat 1.5, ``inria`` for diff-gaussian-rasterization of the paper.
Pixel coordinates are gsplat's in both: the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dense3d.errors import ConfigError, did_you_mean

ALPHA_MIN = 1 / 255  # what is fainter adds nothing
STOP = 1e-4  # of the light: what would leave less is not added, nor what is behind it
LARGEST_RADIUS = 1 << 30  # pixels
NEAREST = 1e-12  # depths nearer to zero are taken as this where they divide
RENDER_MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
RASTERIZE_MODES = ("classic", "antialiased")


class Convention(NamedTuple):
    """Constants of one code base."""

    near: float  # unless another is asked for
    near_is_culled: bool  # a depth of exactly ``near``
    alpha_max: float
    stop_is_left: bool  # whether exactly STOP may be left
    centred_tangents: bool  # the Jacobian's tangents are clamped as if the principal point were the centre
    square_boxes: bool  # 3 standard deviations of the long axis, instead of where alpha falls below 1/255


CONVENTIONS = {
    "gsplat": Convention(
        near=0.01,
        near_is_culled=False,
        alpha_max=0.999,
        stop_is_left=False,
        centred_tangents=False,
        square_boxes=False,
    ),
    "inria": Convention(
        near=0.2,
        near_is_culled=True,
        alpha_max=0.99,
        stop_is_left=True,
        centred_tangents=True,
        square_boxes=True,
    ),
}


class Projection(NamedTuple):
    """Options of :func:`dense3d.ops.project_gaussians`."""

    width: int
    height: int
    near: float
    far: float
    eps2d: float
    radius_clip: float
    antialiased: bool
    convention: Convention
    tile: int  # width and height of tiles in pixels


class Projected(NamedTuple):
    """N Gaussians on the images of C cameras, in pixels."""

    means2d: Tensor  # (C, N, 2); the centre of the first pixel is (0.5, 0.5)
    conics: Tensor  # (C, N, 3): xx, xy and yy of the inverse of the covariance
    depths: Tensor  # (C, N) along the optical axis
    opacities: Tensor  # (C, N); smaller than the given ones where antialiased
    radii: Tensor  # (C, N, 2) int32: half widths of the box; 0 where a Gaussian is not seen


def convention_of(name: str) -> Convention:
    """The constants of ``"gsplat"`` or ``"inria"``.

    Raises:
        ConfigError: another name.
    """
    return CONVENTIONS[one_of("convention", name, CONVENTIONS)]


def one_of(argument: str, value: str, known) -> str:
    """``value``, which is one of the known words.

    Raises:
        ConfigError: it is not.

    Example:
        >>> one_of("render_mode", "RGB", RENDER_MODES)
        'RGB'
    """
    if value not in known:
        hint = did_you_mean(str(value), known)
        raise ConfigError(f"{argument} must be one of {', '.join(known)}, not {value!r}{hint}")
    return value


def tangent_limits(Ks: Tensor, options: Projection) -> Tensor:
    """``(C, 2, 2)``: the least and the largest tangent in x and y that a Jacobian is computed for."""
    size = Ks.new_tensor([options.width, options.height])
    focal, centre = Ks[:, [0, 1], [0, 1]], Ks[:, :2, 2]  # (C, 2)
    if options.convention.centred_tangents:
        centre = (size / 2).expand_as(centre)
    margin = 0.15 * size / focal  # 0.3 of half the image
    return torch.stack([-centre / focal - margin, (size - centre) / focal + margin], 1)
