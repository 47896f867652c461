"""Projection and colours of Gaussians on the CPU: tensors to the numba kernels and back, with gradients."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dense3d.ops.cpu_execution import parallel_for
from dense3d.ops.gaussian_conventions import ALPHA_MIN, NEAREST, Projected, Projection, tangent_limits


def numba_unavailable() -> str | None:
    """Why the compiled kernels cannot be used; None where they can."""
    try:
        import dense3d.ops.gaussian_blending_kernels  # noqa: F401
    except Exception as error:  # numba checks its NumPy and its LLVM at import, with errors of many types
        return f"numba cannot be imported ({error})"
    return None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def project(
    covars: Tensor | tuple[Tensor, Tensor],
    means: Tensor,
    opacities: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    options: Projection,
) -> Projected:
    """:func:`dense3d.ops.gaussian_projection.project_gaussians_reference` compiled."""
    if isinstance(covars, tuple):
        covars = _Covariances.apply(*covars)
    return Projected(*_Project.apply(means, covars, opacities, viewmats, Ks, options))


class _Covariances(torch.autograd.Function):
    """quats (N, 4), scales (N, 3) -> (N, 3, 3)."""

    @staticmethod
    def forward(ctx, quats, scales):
        from dense3d.ops import gaussian_projection_kernels as kernels

        ctx.save_for_backward(quats, scales)
        covars = quats.new_empty(len(quats), 3, 3)
        parallel_for(kernels.covariances, len(quats), _array(quats), _array(scales), covars.numpy())
        return covars

    @staticmethod
    @once_differentiable
    def backward(ctx, grads):
        from dense3d.ops import gaussian_projection_kernels as kernels

        quats, scales = ctx.saved_tensors
        results = torch.empty_like(quats).contiguous(), torch.empty_like(scales).contiguous()
        arrays = [_array(tensor) for tensor in (quats, scales, grads)]
        parallel_for(kernels.covariances_backward, len(quats), *arrays, *(one.numpy() for one in results))
        return results


class _Project(torch.autograd.Function):
    """means (N, 3), covars (N, 3, 3), opacities (N,), viewmats (C, 4, 4), Ks (C, 3, 3)."""

    @staticmethod
    def forward(ctx, means, covars, opacities, viewmats, Ks, options):
        from dense3d.ops import gaussian_projection_kernels as kernels

        ctx.save_for_backward(means, covars, opacities, viewmats, Ks)
        ctx.options = options
        shape = (len(viewmats), len(means))
        floats = [means.new_empty(*shape, *more) for more in ((2,), (3,), (), ())]
        radii = torch.empty(*shape, 2, dtype=torch.int32)
        rules = options.convention
        limits = (options.near, options.far, rules.near_is_culled, rules.square_boxes, options.radius_clip)
        limits = (*map(float, limits[:2]), *limits[2:4], float(limits[4]))
        parallel_for(
            kernels.project,
            math.ceil(len(means) / kernels.BLOCK),
            *_inputs(means, covars, opacities, viewmats, Ks, options),
            (*limits, options.width, options.height, options.tile, ALPHA_MIN),
            tuple(result.numpy() for result in (*floats, radii)),
        )
        ctx.mark_non_differentiable(radii)
        return *floats, radii

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        from dense3d.ops import gaussian_projection_kernels as kernels

        means, covars, opacities, viewmats, Ks = ctx.saved_tensors
        blocks = math.ceil(len(means) / kernels.BLOCK)
        results = [tensor.new_zeros(tensor.shape) for tensor in (means, covars, opacities)]
        poses = np.zeros((blocks, len(viewmats), 4, 4))
        parallel_for(
            kernels.project_backward,
            blocks,
            *_inputs(means, covars, opacities, viewmats, Ks, ctx.options),
            tuple(_array(grad) for grad in grads[:4]),
            (*(result.numpy() for result in results), poses),
        )
        return *results, torch.from_numpy(poses.sum(0)).to(viewmats.dtype), None, None


def _inputs(means, covars, opacities, viewmats, Ks, options) -> tuple:
    """The arguments that both ways share."""
    gaussians = tuple(_array(tensor) for tensor in (means, covars, opacities))
    limits = tangent_limits(Ks, options)
    cameras = tuple(_array(tensor.double()) for tensor in (viewmats, Ks, limits))
    numbers = NEAREST, float(options.eps2d), torch.finfo(means.dtype).max
    return gaussians, cameras, numbers, options.antialiased


def harmonics(degree: int, dirs: Tensor, coeffs: Tensor) -> Tensor:
    """:func:`dense3d.ops.spherical_harmonics_reference` compiled."""
    lead = torch.broadcast_shapes(dirs.shape[:-1], coeffs.shape[:-2])
    own = coeffs.shape[:-2]
    if own != lead[len(lead) - len(own) :]:
        own = lead  # neither of them is repeated as a whole
        coeffs = coeffs.expand(*lead, *coeffs.shape[-2:])
    number = math.prod(own)
    repeats = math.prod(lead[: len(lead) - len(own)])
    flat = dirs.expand(*lead, 3).reshape(repeats, number, 3)
    values = _Harmonics.apply(degree, flat, coeffs.reshape(number, *coeffs.shape[-2:]))
    return values.reshape(*lead, coeffs.shape[-1])


class _Harmonics(torch.autograd.Function):
    """dirs (C, N, 3), coeffs (N, K, D) -> (C, N, D)."""

    @staticmethod
    def forward(ctx, degree, dirs, coeffs):
        from dense3d.ops import gaussian_color_kernels as kernels

        ctx.degree = degree
        ctx.save_for_backward(dirs, coeffs)
        values = coeffs.new_empty(*dirs.shape[:2], coeffs.shape[-1])
        parallel_for(kernels.values, len(coeffs), degree, _array(dirs), _array(coeffs), values.numpy())
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx, grads):
        from dense3d.ops import gaussian_color_kernels as kernels

        tensors = ctx.saved_tensors
        results = [tensor.new_empty(tensor.shape) for tensor in tensors]
        arrays = [_array(tensor) for tensor in (*tensors, grads)] + [one.numpy() for one in results]
        parallel_for(kernels.values_backward, len(tensors[1]), ctx.degree, *arrays)
        return None, *results
