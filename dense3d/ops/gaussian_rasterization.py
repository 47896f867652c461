"""Pictures of 3D Gaussians with gradients: projection, colours and front-to-back blending in one call.

Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering", SIGGRAPH 2023; arguments and
results are named as in gsplat 1.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import gaussian_cpu, gaussian_cuda, gaussian_projection_cpu
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.gaussian_blending import Blended, blend_reference
from dense3d.ops.gaussian_checks import (
    check_backgrounds,
    check_cameras,
    check_colors,
    check_devices,
    check_gaussians,
    check_no_others,
)
from dense3d.ops.gaussian_colors import spherical_harmonics_reference
from dense3d.ops.gaussian_conventions import RENDER_MODES, Projected, Projection, one_of
from dense3d.ops.gaussian_projection import project_gaussians_reference, projection_options
from dense3d.ops.point_checks import working_dtype


@dataclass(frozen=True)
class GaussianInfo:
    """What rasterisation knows beside the pictures, of C cameras and N Gaussians.

    After ``info.means2d.retain_grad()`` and a backward pass, ``info.means2d.grad`` is the gradient in pixels
    that density control looks at.
    """

    means2d: Tensor  # (C, N, 2) pixels
    radii: Tensor  # (C, N, 2) int32, half widths of boxes in pixels; 0 where a Gaussian is not seen
    depths: Tensor  # (C, N) along the optical axis
    conics: Tensor  # (C, N, 3)
    opacities: Tensor  # (C, N); smaller than the given ones where antialiased
    colors: Tensor | None  # (C, N, D), of coefficients for the directions of view; None from gsplat
    counts: Tensor | None  # (C, H, W) int32: Gaussians that are in a pixel; None from gsplat
    width: int
    height: int

    @property
    def visible(self) -> Tensor:
        """``(C, N)`` bool: which Gaussians a camera sees."""
        return (self.radii > 0).all(-1)


def rasterize_gaussians(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    colors: Tensor | None,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    *,
    sh_degree: int | None = None,
    render_mode: str = "RGB",
    backgrounds: Tensor | None = None,
    rasterize_mode: str = "classic",
    convention: str = "gsplat",
    near: float | None = None,
    far: float = 1e10,
    eps2d: float = 0.3,
    radius_clip: float = 0.0,
    tile_size: int = 16,
    covars: Tensor | None = None,
    backend: str | None = None,
    **others: object,
) -> tuple[Tensor, Tensor, GaussianInfo]:
    """Render N Gaussians into the pictures of C cameras.

    Args:
        means: ``(N, 3)`` in the world.
        quats: ``(N, 4)`` rotations, w first, of any length but zero.
        scales: ``(N, 3)`` standard deviations (after exp).
        opacities: ``(N,)`` in 0 .. 1 (after the sigmoid).
        colors: ``(N, D)`` or ``(C, N, D)`` of any number of channels; with ``sh_degree`` coefficients
            ``(N, K, 3)`` or ``(C, N, K, 3)``, whose value + 0.5 is not let below 0. ``None`` for depth alone.
        viewmats: ``(C, 4, 4)`` from world to camera: x right, y down, z forward (OpenCV).
        Ks: ``(C, 3, 3)`` intrinsics in pixels, without skew.
        width, height: of the pictures, in pixels.
        sh_degree: 0 .. 3, the degree to which coefficients are used; ``None`` takes colours as they are.
        render_mode: ``"RGB"`` colours, ``"D"`` depth summed with the weights, ``"ED"`` that over alpha,
            ``"RGB+D"`` or ``"RGB+ED"`` with depth as the last channel.
        backgrounds: ``(C, D)`` or ``(D,)``, behind colours; depths have 0 behind them.
        rasterize_mode: ``"classic"``, or ``"antialiased"``, where opacities make up for the dilation.
        convention: ``"gsplat"``, or ``"inria"`` for the constants and boxes of the paper's code.
        near, far: depths that are seen, not negative; 0.01 (``"inria"``: 0.2) and on unless given.
        eps2d: added to the variances on the image, in pixels squared.
        radius_clip: what has both half widths no larger than this is left out, where it is positive.
        tile_size: of the tiles that boxes are widened to; changes pictures with ``"inria"`` only.
        covars: ``(N, 3, 3)`` instead of ``quats`` and ``scales``.
        backend: take this implementation: ``"numba"``, ``"gsplat"`` or ``"reference"``.
        **others: arguments of gsplat that are refused by name (``absgrad``, ``packed``, ...).

    Returns:
        pictures ``(C, H, W, D)``, alphas ``(C, H, W, 1)`` and :class:`GaussianInfo`; float64 where an input
        is, else float32, also under autocast. Where nothing is seen the background is. Differentiable in all
        tensors but ``Ks``; gradients of alphas that are clamped are zero in both conventions.

    Raises:
        DataError: a shape or a value does not fit; the message names the argument.
        ConfigError: an option has a wrong value.

    Example:
        >>> one = torch.tensor([[0.0, 0.0, 2.0]])
        >>> K = torch.tensor([[[10.0, 0.0, 8.5], [0.0, 10.0, 6.5], [0.0, 0.0, 1.0]]])
        >>> images, alphas, info = rasterize_gaussians(
        ...     one, torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.2), torch.tensor([0.5]),
        ...     torch.tensor([[1.0, 0.5, 0.0]]), torch.eye(4)[None], K, 16, 12)
        >>> images[0, 6, 8].tolist(), alphas.shape, int(info.visible.sum())
        ([0.5, 0.25, 0.0], torch.Size([1, 12, 16, 1]), 1)
    """
    check_no_others(others)
    one_of("render_mode", render_mode, RENDER_MODES)
    check_gaussians(means, quats, scales, opacities, covars)
    check_devices(means, viewmats=viewmats, Ks=Ks, colors=colors, backgrounds=backgrounds)
    check_cameras(viewmats, Ks, width, height)
    options = projection_options(
        width, height, rasterize_mode, convention, near, far, eps2d, radius_clip, tile_size
    )
    if "RGB" not in render_mode:
        colors, backgrounds, sh_degree = means.new_zeros(len(means), 0), None, None
    if colors is None:
        raise DataError(f"colors must be given for render_mode {render_mode!r}")
    check_colors(colors, sh_degree, len(viewmats), len(means))
    if backgrounds is not None:
        check_backgrounds(backgrounds, len(viewmats), colors.shape[-1])
    tensors = (means, opacities, colors, viewmats, Ks)
    shape = (quats, scales) if covars is None else (covars,)
    dtype = working_dtype(*tensors, *shape)
    chosen = select_backend("rasterize_gaussians", means.device.type, backend)
    if means.is_cuda and backend is None and chosen.name == "reference":
        gaussian_cuda.warn_of_torch()
    with torch.autocast(means.device.type, enabled=False):
        shape = tuple(tensor.to(dtype) for tensor in shape)
        means, opacities, colors, viewmats, Ks = (tensor.to(dtype) for tensor in tensors)
        if backgrounds is not None:
            backgrounds = backgrounds.to(dtype)
        covars = shape if covars is None else shape[0]
        arguments = (covars, means, opacities, colors, viewmats, Ks, sh_degree, backgrounds)
        return chosen.implementation(*arguments, render_mode, options)


def rasterize_gaussians_reference(*arguments, **options) -> tuple[Tensor, Tensor, GaussianInfo]:
    """:func:`rasterize_gaussians` in torch on any device, tile by tile: it defines the result.

    Example:
        >>> none, camera = torch.zeros(0, 3), (torch.eye(4)[None], torch.eye(3)[None])
        >>> nothing = (none, torch.zeros(0, 4), none, torch.zeros(0), none, *camera)
        >>> white = torch.tensor([1.0, 0.5, 0.0])
        >>> rasterize_gaussians_reference(*nothing, 2, 1, backgrounds=white)[0].tolist()
        [[[[1.0, 0.5, 0.0], [1.0, 0.5, 0.0]]]]
    """
    return rasterize_gaussians(*arguments, **options, backend="reference")


def composed(project: Callable, harmonics: Callable, blend: Callable) -> Callable:
    """An implementation of :func:`rasterize_gaussians` of those of its three steps."""

    def rasterize(
        covars: Tensor | tuple[Tensor, Tensor],
        means: Tensor,
        opacities: Tensor,
        colors: Tensor,
        viewmats: Tensor,
        Ks: Tensor,
        sh_degree: int | None,
        backgrounds: Tensor | None,
        render_mode: str,
        options: Projection,
    ) -> tuple[Tensor, Tensor, GaussianInfo]:
        projected = project(covars, means, opacities, viewmats, Ks, options)
        if sh_degree is not None:
            colors = (harmonics(sh_degree, view_directions(means, viewmats), colors) + 0.5).clamp(min=0)
        cameras, number = projected.depths.shape
        colors = colors.expand(cameras, number, colors.shape[-1])
        if backgrounds is None:
            backgrounds = colors.new_zeros(colors.shape[-1])
        backgrounds = backgrounds.expand(cameras, colors.shape[-1])
        channels, behind = colors, backgrounds
        if render_mode.endswith("D"):
            channels = torch.cat([colors, projected.depths[..., None]], -1)
            behind = torch.cat([backgrounds, backgrounds.new_zeros(cameras, 1)], -1)
        blended = blend(projected, channels, behind, options)
        images = blended.images
        if render_mode.endswith("ED"):
            depth = images[..., -1:] / blended.alphas.clamp(min=1e-10)
            images = torch.cat([images[..., :-1], depth], -1)
        return images, blended.alphas, _info(projected, colors, blended, options)

    return rasterize


def _info(projected: Projected, colors: Tensor, blended: Blended, options: Projection) -> GaussianInfo:
    return GaussianInfo(
        **projected._asdict(),
        colors=colors,
        counts=blended.counts,
        width=options.width,
        height=options.height,
    )


def view_directions(means: Tensor, viewmats: Tensor) -> Tensor:
    """``(C, N, 3)`` in the world, from the centres of the cameras to the means, not of length 1."""
    centres = -torch.linalg.solve(viewmats[:, :3, :3], viewmats[:, :3, 3])  # (C, 3)
    return means - centres[:, None]


register_backend(
    "rasterize_gaussians",
    "numba",
    device="cpu",
    implementation=composed(
        gaussian_projection_cpu.project, gaussian_projection_cpu.harmonics, gaussian_cpu.blend
    ),
    available=gaussian_projection_cpu.numba_unavailable,
)
_in_torch = composed(project_gaussians_reference, spherical_harmonics_reference, blend_reference)
register_backend(
    "rasterize_gaussians",
    "gsplat",
    device="cuda",
    implementation=gaussian_cuda.rasterize_by_gsplat(otherwise=_in_torch, make_info=GaussianInfo),
    available=gaussian_cuda.gsplat_unavailable,
)
register_backend("rasterize_gaussians", "reference", implementation=_in_torch)
