"""What prepares the compiled kernels of :func:`dense3d.ops.render_grid`: empty bricks, rays in voxels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dense3d.ops import grid_rendering_kernels as kernels
from dense3d.ops.cpu_execution import parallel_for
from dense3d.ops.grid_rendering import March, Rays
from dense3d.ops.volume_rendering_cpu import brick_distances, brick_ranges
from dense3d.ops.volume_rendering_kernels import BRICK


def occupied_bricks(grid: Tensor) -> Tensor:
    """bool (ceil(X / 8), ceil(Y / 8), ceil(Z / 8)) of a grid (X, Y, Z, 4) on the CPU: any density is seen."""
    _, high = brick_ranges(grid.detach()[..., 3].numpy())
    return torch.from_numpy(high > 0)


def render_flat(grid: Tensor, rays: Rays, march: March, occupied: Tensor | None, skip: bool = True) -> Tensor:
    """(R, 5): colours, distance and the light that is left; see the reference of the same name.

    ``skip=False`` looks at the samples of empty bricks, too.
    """
    dtype = torch.float64 if grid.dtype == torch.float64 else torch.float32
    return _Render.apply(grid.to(dtype), rays, march, occupied, skip)


class _Render(torch.autograd.Function):
    """The kernels, differentiated by the grid (X, Y, Z, 4)."""

    @staticmethod
    def forward(ctx, grid, rays, march, occupied, skip):
        values = grid.detach().contiguous().numpy()
        arrays = _arrays(values, rays, march, occupied, skip)
        out = torch.empty(len(rays.origins), 5, dtype=grid.dtype)
        used = np.empty(len(out), np.int64)
        parallel_for(kernels.render, len(out), values, *arrays, out.numpy(), used)
        ctx.save_for_backward(grid, out)
        ctx.arrays, ctx.used = arrays, used
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        grid, out = ctx.saved_tensors
        begins = np.concatenate([[0], np.cumsum(ctx.used)])
        planes, samples = (
            np.empty(begins[-1], out.numpy().dtype),
            np.empty((begins[-1], 6), out.numpy().dtype),
        )
        given = grid.detach().contiguous().numpy(), *ctx.arrays
        grads = grad_out.contiguous().numpy()
        parallel_for(kernels.sample_gradients, len(out), *given, out.numpy(), grads, begins, planes, samples)
        grad = torch.zeros(grid.shape, dtype=grid.dtype)
        parallel_for(kernels.scatter, len(grad), planes, samples, grad.numpy())
        return grad, None, None, None, None


def _arrays(values: np.ndarray, rays: Rays, march: March, occupied: Tensor | None, skip: bool) -> tuple:
    if occupied is not None:
        distances = brick_distances(occupied.numpy())
    elif skip:
        distances = brick_distances(brick_ranges(values[..., 3])[1] > 0)
    else:
        distances = np.zeros(tuple(-(-count // BRICK) for count in values.shape[:3]), np.int8)
    starts = (rays.origins - march.origin) / march.spacing - 0.5
    slopes = rays.directions / march.spacing
    ways = torch.stack([rays.near, rays.interval, rays.counts.double()], 1)
    parts = [part.contiguous().numpy() for part in (starts, slopes, ways, rays.offsets)]
    return *parts, distances, (march.step, march.far, march.shell, march.min_transmittance)
