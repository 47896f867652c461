"""Gaussians seen by cameras: the EWA projection (Zwicker et al., "EWA Splatting", 2002; Kerbl et al., 2023).

A Gaussian of mean m and covariance S3 = R diag(s)^2 R^T has, for a camera [Rv | t] and with p = Rv m + t,

    J  = [[fx / z, 0, -fx u / z], [0, fy / z, -fy v / z]]    u, v: clamped p_x / p_z, p_y / p_z
    S2 = J Rv S3 Rv^T J^T + eps2d I                          in pixels squared

on the image. Antialiased, its opacity is multiplied by sqrt(det before dilation / det after), the filter of
Yu et al., "Mip-Splatting", CVPR 2024.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.ops import gaussian_projection_cpu
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.gaussian_checks import check_cameras, check_devices, check_gaussians
from dense3d.ops.gaussian_conventions import (
    ALPHA_MIN,
    LARGEST_RADIUS,
    NEAREST,
    RASTERIZE_MODES,
    Projected,
    Projection,
    convention_of,
    one_of,
    tangent_limits,
)
from dense3d.ops.point_checks import working_dtype


def project_gaussians(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    *,
    covars: Tensor | None = None,
    rasterize_mode: str = "classic",
    convention: str = "gsplat",
    near: float | None = None,
    far: float = 1e10,
    eps2d: float = 0.3,
    radius_clip: float = 0.0,
    tile_size: int = 16,
    backend: str | None = None,
) -> Projected:
    """Project Gaussians onto images.

    Args:
        means: ``(N, 3)`` in the world.
        quats: ``(N, 4)`` rotations, w first, of any length but zero.
        scales: ``(N, 3)`` standard deviations along the axes of the rotated Gaussian.
        opacities: ``(N,)`` in 0 .. 1.
        viewmats: ``(C, 4, 4)`` from world to camera: x right, y down, z forward.
        Ks: ``(C, 3, 3)`` intrinsics in pixels, without skew.
        width, height: of the images, in pixels.
        covars: ``(N, 3, 3)`` symmetric, instead of ``quats`` and ``scales``.
        rasterize_mode: ``"classic"`` or ``"antialiased"``.
        convention: ``"gsplat"`` or ``"inria"``: see :mod:`dense3d.ops.gaussian_conventions`.
        near, far: what lies nearer or farther is not seen; 0.01 (``"inria"``: 0.2) unless given.
        eps2d: added to the variances on the image, in pixels squared.
        radius_clip: what has both half widths no larger than this is not seen, where it is positive.
        tile_size: width of tiles in pixels; what touches none of the image is not seen with ``"inria"``.
        backend: take this implementation: ``"numba"`` or ``"reference"``.

    Returns:
        :class:`Projected`, float64 where an input is, else float32. Those that are not seen (radii 0) have
        their values, too, as far as these are finite. Differentiable in all but ``Ks``; boxes are not.

    Raises:
        DataError: a shape or a value does not fit; the message names the argument.
        ConfigError: an option has a wrong value.

    Example:
        >>> means, quats = torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
        >>> K = torch.tensor([[[10.0, 0.0, 8.0], [0.0, 10.0, 6.0], [0.0, 0.0, 1.0]]])
        >>> seen = project_gaussians(means, quats, torch.full((1, 3), 0.2), torch.ones(1),
        ...                          torch.eye(4)[None], K, 16, 12, eps2d=0.0)
        >>> seen.means2d.tolist(), seen.conics.round(decimals=3).tolist(), seen.radii.tolist()
        ([[[8.0, 6.0]]], [[[1.0, -0.0, 1.0]]], [[[4, 4]]])
    """
    check_gaussians(means, quats, scales, opacities, covars)
    check_devices(means, viewmats=viewmats, Ks=Ks)
    check_cameras(viewmats, Ks, width, height)
    options = projection_options(
        width, height, rasterize_mode, convention, near, far, eps2d, radius_clip, tile_size
    )
    given = [
        tensor for tensor in (means, quats, scales, covars, opacities, viewmats, Ks) if tensor is not None
    ]
    dtype = working_dtype(*given)
    chosen = select_backend("project_gaussians", means.device.type, backend)
    with torch.autocast(means.device.type, enabled=False):
        shape = None if covars is not None else (quats.to(dtype), scales.to(dtype))
        tensors = (tensor.to(dtype) for tensor in (means, opacities, viewmats, Ks))
        return chosen.implementation(shape if covars is None else covars.to(dtype), *tensors, options)


def projection_options(
    width: int,
    height: int,
    rasterize_mode: str,
    convention: str,
    near: float | None,
    far: float,
    eps2d: float,
    radius_clip: float,
    tile_size: int = 16,
) -> Projection:
    """The options as the implementations take them.

    Raises:
        ConfigError: a word that is not known, or a number that is not in its range.
    """
    if isinstance(tile_size, bool) or not isinstance(tile_size, int) or tile_size < 1:
        raise ConfigError(f"tile_size must be a positive whole number of pixels, not {tile_size!r}")
    for name, value in (("eps2d", eps2d), ("radius_clip", radius_clip)):
        if not value >= 0:
            raise ConfigError(f"{name} must not be negative, not {value!r}")
    rules = convention_of(convention)
    antialiased = one_of("rasterize_mode", rasterize_mode, RASTERIZE_MODES) == "antialiased"
    near = rules.near if near is None else near
    if not 0 <= near < far:
        raise ConfigError(f"near must not be negative, and far lie behind it, not {near!r} and {far!r}")
    return Projection(width, height, near, far, eps2d, radius_clip, antialiased, rules, tile_size)


def project_gaussians_reference(
    covars: Tensor | tuple[Tensor, Tensor],
    means: Tensor,
    opacities: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    options: Projection,
) -> Projected:
    """:func:`project_gaussians` in torch on any device: it defines the result.

    Args:
        covars: ``(N, 3, 3)``, or a pair of quaternions and scales.
        means, opacities, viewmats, Ks: as there, of one type.
        options: as :func:`projection_options` gives them.
    """
    if isinstance(covars, tuple):
        covars = covariances_reference(*covars)
    rotations = viewmats[:, :3, :3]  # (C, 3, 3)
    points = means @ rotations.mT + viewmats[:, None, :3, 3]  # (C, N, 3) in the cameras
    depths = points[..., 2]
    z = torch.where(depths.abs() < NEAREST, NEAREST, depths)
    tangents = points[..., :2] / z[..., None]  # (C, N, 2)
    focal = Ks[:, None, [0, 1], [0, 1]]  # (C, 1, 2)
    means2d = tangents * focal + Ks[:, None, :2, 2]
    covariance = _covariances2d(covars, rotations, z, focal, _clamped_tangents(tangents, Ks, options))
    determinant = _determinant(_dilated(covariance, options.eps2d)).detach()
    solid = (determinant > 0) & torch.isfinite(determinant)
    covariance = tuple(torch.where(solid, part, safe) for part, safe in zip(covariance, (1.0, 0.0, 1.0)))
    dilated = _dilated(covariance, options.eps2d)
    inverse = 1 / _determinant(dilated)
    conics = torch.stack([dilated[2] * inverse, -dilated[1] * inverse, dilated[0] * inverse], -1)
    conics = torch.where(solid[..., None], conics, 0)
    opacities = opacities.expand_as(depths)
    if options.antialiased:
        share = _determinant(covariance) * inverse
        opacities = opacities * torch.where(share > 0, torch.where(share > 0, share, 1).sqrt(), 0)
    radii = _radii(means2d, depths, dilated, opacities, solid, options)
    return Projected(means2d, conics, depths, opacities, radii)


def covariances_reference(quats: Tensor, scales: Tensor) -> Tensor:
    """Covariances of Gaussians in the world: R diag(s)^2 R^T.

    Args:
        quats: ``(..., 4)``, w first, of any length but zero.
        scales: ``(..., 3)`` standard deviations.

    Returns:
        ``(..., 3, 3)``.

    Example:
        >>> quarter_turn_about_z = torch.tensor([2.0, 0.0, 0.0, 2.0])
        >>> covariances_reference(quarter_turn_about_z, torch.tensor([1.0, 2.0, 3.0])).diagonal().round()
        tensor([4., 1., 9.])
    """
    axes = rotations_of(quats) * scales[..., None, :]
    return axes @ axes.mT


def rotations_of(quats: Tensor) -> Tensor:
    """``(..., 3, 3)`` rotation matrices of quaternions ``(..., 4)``, w first, of any length but zero."""
    largest = quats.detach().abs().amax(-1, keepdim=True)  # divided by it, no length over- or underflows
    w, x, y, z = F.normalize(quats / largest, dim=-1).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def _clamped_tangents(tangents: Tensor, Ks: Tensor, options: Projection) -> Tensor:
    low, high = tangent_limits(Ks, options)[:, None].unbind(2)  # (C, 1, 2)
    return torch.minimum(torch.maximum(tangents, low), high)


def _covariances2d(
    covars: Tensor, rotations: Tensor, z: Tensor, focal: Tensor, tangents: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """xx, xy and yy ``(C, N)`` on the image, without dilation."""
    scale = focal / z[..., None]  # (C, N, 2)
    zero = torch.zeros_like(z)
    jacobian = (
        torch.stack([scale[..., 0], zero, -scale[..., 0] * tangents[..., 0]], -1),
        torch.stack([zero, scale[..., 1], -scale[..., 1] * tangents[..., 1]], -1),
    )
    rows = torch.stack(jacobian, -2) @ rotations[:, None]  # (C, N, 2, 3)
    covariance = rows @ covars @ rows.mT
    return covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]


def _dilated(covariance: tuple[Tensor, Tensor, Tensor], eps2d: float) -> tuple[Tensor, Tensor, Tensor]:
    xx, xy, yy = covariance
    return xx + eps2d, xy, yy + eps2d


def _determinant(covariance: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    xx, xy, yy = covariance
    return xx * yy - xy * xy


@torch.no_grad()
def _radii(
    means2d: Tensor,
    depths: Tensor,
    dilated: tuple[Tensor, Tensor, Tensor],
    opacities: Tensor,
    solid: Tensor,
    options: Projection,
) -> Tensor:
    """``(C, N, 2)`` int32: half widths of the boxes, 0 for what is not seen."""
    rules = options.convention
    xx, _, yy = dilated
    seen = solid & (depths <= options.far) & torch.isfinite(means2d).all(-1)
    seen &= (depths > options.near) if rules.near_is_culled else (depths >= options.near)
    if rules.square_boxes:
        middle = (xx + yy) / 2
        largest = middle + (middle.square() - _determinant(dilated)).clamp(min=0.1).sqrt()
        radii = (3 * largest.sqrt()).ceil()[..., None].expand(*depths.shape, 2)
    else:
        seen &= opacities >= ALPHA_MIN
        reach = (2 * (opacities.clamp(min=ALPHA_MIN) / ALPHA_MIN).log()).sqrt().clamp(max=3.33)
        radii = (reach[..., None] * torch.stack([xx, yy], -1).clamp(min=0).sqrt()).ceil()
    radii = radii.nan_to_num(0, LARGEST_RADIUS).clamp(max=LARGEST_RADIUS)
    seen &= (radii > options.radius_clip).any(-1)
    size = means2d.new_tensor([options.width, options.height])
    if rules.square_boxes:
        first, last = tile_range(means2d, radii, rules.square_boxes, options.tile)
        seen &= ((last > 0) & (first < (size / options.tile).ceil()) & (last > first)).all(-1)
    else:
        seen &= ((means2d + radii > 0) & (means2d - radii < size)).all(-1)
    return torch.where(seen[..., None], radii, 0).int()


def tile_range(means2d: Tensor, radii: Tensor, square_boxes: bool, tile: int) -> tuple[Tensor, Tensor]:
    """First tile in x and y that a box touches, and the one after the last; not clamped to the image.

    Args:
        means2d, radii: ``(..., 2)`` in pixels.
        square_boxes: those of ``"inria"`` count on coordinates whose pixel centres are whole numbers.
        tile: its width in pixels.
    """
    if square_boxes:
        places = means2d - 0.5
        return ((places - radii) / tile).floor(), ((places + radii + tile - 1) / tile).floor()
    return ((means2d - radii) / tile).floor(), ((means2d + radii) / tile).ceil()


register_backend(
    "project_gaussians",
    "numba",
    device="cpu",
    implementation=gaussian_projection_cpu.project,
    available=gaussian_projection_cpu.numba_unavailable,
)
register_backend("project_gaussians", "reference", implementation=project_gaussians_reference)
