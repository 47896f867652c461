"""Rasterisation of Gaussians on the CPU: tensors to the numba kernels and back, with gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dense3d.ops.cpu_execution import parallel_for
from dense3d.ops.gaussian_blending import Blended
from dense3d.ops.gaussian_conventions import ALPHA_MIN, STOP, Projected, Projection

FARTHEST = 80.0  # exponents beyond it count as this


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def blend(projected: Projected, colors: Tensor, backgrounds: Tensor, options: Projection) -> Blended:
    """:func:`dense3d.ops.gaussian_blending.blend_reference` compiled."""
    means2d, conics, depths, opacities, radii = projected
    images, light, counts = _Blend.apply(
        means2d, conics, opacities, colors, backgrounds, depths.detach(), radii, options
    )
    return Blended(images, 1 - light[..., None], counts)


class _Blend(torch.autograd.Function):
    """means2d (C, N, 2), conics (C, N, 3), opacities (C, N), colors (C, N, D), backgrounds (C, D)."""

    @staticmethod
    def forward(ctx, means2d, conics, opacities, colors, backgrounds, depths, radii, options):
        from dense3d.ops import gaussian_blending_kernels as kernels

        channels = colors.shape[-1]
        dtype = np.dtype(str(colors.dtype).removeprefix("torch."))
        flat = [_array(tensor.flatten(0, 1)) for tensor in (means2d, conics, radii, colors)]
        tiles, gaussians = _tiles(*flat[:3], _array(opacities.flatten()), _array(depths), options, dtype)
        rules = _rules(options, dtype)
        shape = (len(colors), options.height, options.width)
        images = np.empty((*shape, channels), dtype)
        light = np.empty(shape, dtype)
        counts, lasts = np.empty(shape, np.int32), np.empty(shape, np.int32)
        parallel_for(
            kernels.forward,
            len(tiles[0]) - 1,
            tiles,
            gaussians,
            rules,
            flat[3],
            _array(backgrounds),
            (images, light, counts, lasts),
        )
        ctx.save_for_backward(colors, backgrounds)
        ctx.tiles, ctx.gaussians, ctx.rules, ctx.results = tiles, gaussians, rules, (light, lasts)
        images, light, counts = (torch.from_numpy(array) for array in (images, light, counts))
        ctx.mark_non_differentiable(counts)
        return images, light, counts

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_images, grad_light, _):
        from dense3d.ops import gaussian_blending_kernels as kernels

        colors, backgrounds = ctx.saved_tensors
        cameras, number, channels = colors.shape
        grad_backgrounds = np.einsum("chw,chwd->cd", ctx.results[0], _array(grad_images))
        grad_light = grad_light + torch.einsum("chwd,cd->chw", grad_images, backgrounds)
        pair_starts = ctx.gaussians[2]
        dtype = ctx.results[0].dtype
        pair_grads = np.zeros((pair_starts[-1], 6 + channels), dtype)
        parallel_for(
            kernels.backward,
            len(ctx.tiles[0]) - 1,
            ctx.tiles,
            ctx.gaussians,
            ctx.rules,
            _array(colors).reshape(cameras * number, channels),
            ctx.results,
            (_array(grad_images), _array(grad_light)),
            pair_grads,
        )
        shapes = ((2,), (3,), (), (channels,))
        results = [np.empty((cameras * number, *shape), dtype) for shape in shapes]
        parallel_for(kernels.add_pairs, cameras * number, pair_starts, pair_grads, *results)
        found = [torch.from_numpy(r).view(cameras, number, *s) for r, s in zip(results, shapes)]
        return *found, torch.from_numpy(grad_backgrounds), None, None, None


def _rules(options: Projection, dtype: np.dtype) -> tuple:
    """Least and largest alpha, the light that has to be more than left, the largest exponent."""
    stop = dtype.type(STOP)
    if options.convention.stop_is_left:
        stop = np.nextafter(stop, dtype.type(0))
    kinds = (ALPHA_MIN, options.convention.alpha_max, stop, FARTHEST)
    return tuple(dtype.type(value) for value in kinds)


def _tiles(
    means2d: np.ndarray,
    conics: np.ndarray,
    radii: np.ndarray,
    opacities: np.ndarray,
    depths: np.ndarray,
    options: Projection,
    dtype: np.dtype,
) -> tuple[tuple, tuple]:
    """Lists of Gaussians by tile, and what kernels read of a Gaussian: see ``gaussian_tile_kernels``."""
    from dense3d.ops import gaussian_tile_kernels as kernels

    number = len(means2d)
    rows = np.empty((number, kernels.ROW), dtype)
    boxes, pair_starts = np.empty((number, 4), np.int32), np.zeros(number + 1, np.int64)
    square = options.convention.square_boxes
    numbers = (dtype.type(value) for value in (options.tile, ALPHA_MIN, 0.5, 1))
    sizes = (options.width, options.height, square, *numbers)
    parallel_for(kernels.prepare, number, means2d, conics, opacities, radii, sizes, rows, boxes, pair_starts)
    np.cumsum(pair_starts, out=pair_starts)
    columns, tile_rows = -(-options.width // kernels.TILE), -(-options.height // kernels.TILE)
    order = front_to_back(depths)
    starts = np.zeros(len(depths) * tile_rows * columns + 1, np.int64)
    lists = np.empty(pair_starts[-1], np.int32)
    bands = len(depths) * tile_rows
    parallel_for(kernels.count_in_tiles, bands, order, boxes, columns, tile_rows, starts)
    np.cumsum(starts, out=starts)
    parallel_for(kernels.fill_tiles, bands, order, boxes, columns, tile_rows, starts, lists)
    size = (options.width, options.height, columns, tile_rows)
    return (starts, lists, size), (rows, boxes, pair_starts)


def front_to_back(depths: np.ndarray) -> np.ndarray:
    """``(C, N)`` int: the Gaussians of each camera by depth, equal ones by number.

    Example:
        >>> front_to_back(np.array([[3.0, -1.0, 2.0, 2.0]], np.float32)).tolist()
        [[1, 2, 3, 0]]
    """
    if depths.dtype != np.float32:
        return depths.argsort(axis=1, kind="stable")
    bits = depths.view(np.uint32).astype(np.uint64)
    order = np.where(bits >> 31, ~bits & 0xFFFFFFFF, bits | 0x80000000)  # as the numbers are ordered
    keys = order << np.uint64(32) | np.arange(depths.shape[1], dtype=np.uint64)
    keys.sort(axis=1)  # distinct, so that every sort is stable
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
