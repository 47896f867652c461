"""numba kernels of multi-scale deformable attention (imported on the first CPU call: numba is slow to import).

Arrays are flat and C-contiguous: value (B, S, M, D), locations (B, Q, M, L, P, 2), weights (B, Q, M, L, P),
output (B, Q, M, D); B batch, S pixels of all levels, M heads, D channels, Q queries, L levels, P points.

Every output element belongs to one task and is accumulated in the order of its queries, levels and points:
the forward splits the work by batch and block of queries; the backward by batch, head and level, whose
slices of the value gradient are disjoint. So the results are the same bits for any number of threads.

Offsets are unsigned because numba checks signed ones for negative values, which keeps the loops over channels
from being vectorised.
"""

from __future__ import annotations

import numpy as np
from numba import njit

QUERY_BLOCK = 64


def _jit(**options):
    """``njit`` that releases the GIL, with an on-disk cache wherever a folder for it can be written."""

    def decorate(function):
        try:
            return njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        except RuntimeError:  # neither __pycache__, the user's cache folder nor NUMBA_CACHE_DIR is writable
            return njit(nogil=True, error_model="numpy", **options)(function)

    return decorate


@_jit(fastmath={"contract"})
def _pixel(location, size):
    """Pixel coordinate of a normalised location, rounded in the steps in which ``grid_sample`` rounds it.

    Locations on pixel centres have one-sided gradients; with the same rounding both take the same side.
    """
    one, half = type(location)(1), type(location)(0.5)
    grid = (location + location) - one
    return (grid + one) * (type(location)(size) * half) - half


@_jit(fastmath={"contract", "reassoc"})
def _dot(a, i, b, j, channels):
    total = a.dtype.type(0)
    for d in range(channels):
        total += a[i + d] * b[j + d]
    return total


@_jit(fastmath={"contract", "reassoc"})
def _dot_four(a, i00, i01, i10, i11, b, j, channels):
    """Products of four rows of ``a`` with one of ``b``."""
    d00 = d01 = d10 = d11 = a.dtype.type(0)
    for d in range(channels):
        factor = b[j + d]
        d00 += a[i00 + d] * factor
        d01 += a[i01 + d] * factor
        d10 += a[i10 + d] * factor
        d11 += a[i11 + d] * factor
    return d00, d01, d10, d11


@_jit(fastmath={"contract"})
def _add(out, i, factor, a, j, channels):
    for d in range(channels):
        out[i + d] += factor * a[j + d]


@_jit(fastmath={"contract"})
def _add_two(out, i0, i1, f0, f1, a, j, channels):
    """Add a scaled row of ``a`` to two rows of ``out``."""
    for d in range(channels):
        out[i0 + d] += f0 * a[j + d]
        out[i1 + d] += f1 * a[j + d]


@_jit(fastmath={"contract"})
def _add_four(out, i, f00, f01, f10, f11, a, j00, j01, j10, j11, channels):
    """Add the weighted sum of four rows of ``a`` to a row of ``out``."""
    for d in range(channels):
        out[i + d] += (f00 * a[j00 + d] + f01 * a[j01 + d]) + (f10 * a[j10 + d] + f11 * a[j11 + d])


@_jit()
def forward(first, last, value, shapes, starts, locations, weights, out, sizes):
    """Tasks ``first .. last - 1`` of ``B * ceil(Q / QUERY_BLOCK)``; ``out`` starts as zeros.

    ``sizes`` is (S, M, D, Q, P); ``shapes`` (L, 2) and ``starts`` (L,) describe the levels.
    """
    num_keys, num_heads, num_channels, num_queries, num_points = sizes
    channels, row = np.uint64(num_channels), num_heads * num_channels
    number = value.dtype.type
    num_levels, blocks = len(starts), (num_queries + QUERY_BLOCK - 1) // QUERY_BLOCK
    for task in range(first, last):
        batch, block = task // blocks, task % blocks
        begin = (batch * num_queries + block * QUERY_BLOCK) * num_heads
        end = (batch * num_queries + min(num_queries, (block + 1) * QUERY_BLOCK)) * num_heads
        for index in range(begin, end):  # (batch, query, head)
            o = np.uint64(index * num_channels)
            base = batch * num_keys * row + index % num_heads * num_channels
            for sample in range(index * num_levels * num_points, (index + 1) * num_levels * num_points):
                level = sample // num_points % num_levels
                height, width = shapes[level, 0], shapes[level, 1]
                x, y = _pixel(locations[2 * sample], width), _pixel(locations[2 * sample + 1], height)
                if not (x > -1 and y > -1 and x < width and y < height):
                    continue
                x0, y0 = int(np.floor(x)), int(np.floor(y))
                right, lower = x - number(x0), y - number(y0)
                left, upper = number(1) - right, number(1) - lower
                weight = weights[sample]
                corner = base + (starts[level] + y0 * width + x0) * row
                v00, v01 = np.uint64(corner), np.uint64(corner + row)
                v10, v11 = np.uint64(corner + width * row), np.uint64(corner + (width + 1) * row)
                f00, f01 = weight * upper * left, weight * upper * right
                f10, f11 = weight * lower * left, weight * lower * right
                if x0 >= 0 and y0 >= 0 and x0 + 1 < width and y0 + 1 < height:
                    _add_four(out, o, f00, f01, f10, f11, value, v00, v01, v10, v11, channels)
                    continue
                if y0 >= 0 and x0 >= 0:
                    _add(out, o, f00, value, v00, channels)
                if y0 >= 0 and x0 + 1 < width:
                    _add(out, o, f01, value, v01, channels)
                if y0 + 1 < height and x0 >= 0:
                    _add(out, o, f10, value, v10, channels)
                if y0 + 1 < height and x0 + 1 < width:
                    _add(out, o, f11, value, v11, channels)


@_jit()
def backward(first, last, value, shapes, starts, locations, weights, grad_out, grads, sizes):
    """Tasks ``first .. last - 1`` of ``B * M * L``.

    ``grads`` are the gradients of value, locations and weights, which start as zeros; the rest as in
    :func:`forward`.
    """
    num_keys, num_heads, num_channels, num_queries, num_points = sizes
    grad_value, grad_locations, grad_weights = grads
    channels, row = np.uint64(num_channels), num_heads * num_channels
    number = value.dtype.type
    num_levels = len(starts)
    for task in range(first, last):
        batch, head, level = (
            task // (num_heads * num_levels),
            task // num_levels % num_heads,
            task % num_levels,
        )
        height, width = shapes[level, 0], shapes[level, 1]
        base = (batch * num_keys + starts[level]) * row + head * num_channels
        for point in range(num_queries * num_points):
            index = (batch * num_queries + point // num_points) * num_heads + head  # (batch, query, head)
            sample = (index * num_levels + level) * num_points + point % num_points
            x, y = _pixel(locations[2 * sample], width), _pixel(locations[2 * sample + 1], height)
            if not (x > -1 and y > -1 and x < width and y < height):
                continue
            g = np.uint64(index * num_channels)
            x0, y0 = int(np.floor(x)), int(np.floor(y))
            right, lower = x - number(x0), y - number(y0)
            left, upper = number(1) - right, number(1) - lower
            weight = weights[sample]
            corner = base + (y0 * width + x0) * row
            v00, v01 = np.uint64(corner), np.uint64(corner + row)
            v10, v11 = np.uint64(corner + width * row), np.uint64(corner + (width + 1) * row)
            f00, f01 = weight * upper * left, weight * upper * right
            f10, f11 = weight * lower * left, weight * lower * right
            if x0 >= 0 and y0 >= 0 and x0 + 1 < width and y0 + 1 < height:
                d00, d01, d10, d11 = _dot_four(value, v00, v01, v10, v11, grad_out, g, channels)
                _add_two(grad_value, v00, v01, f00, f01, grad_out, g, channels)
                _add_two(grad_value, v10, v11, f10, f11, grad_out, g, channels)
            else:
                d00 = d01 = d10 = d11 = number(0)
                if y0 >= 0 and x0 >= 0:
                    d00 = _dot(value, v00, grad_out, g, channels)
                    _add(grad_value, v00, f00, grad_out, g, channels)
                if y0 >= 0 and x0 + 1 < width:
                    d01 = _dot(value, v01, grad_out, g, channels)
                    _add(grad_value, v01, f01, grad_out, g, channels)
                if y0 + 1 < height and x0 >= 0:
                    d10 = _dot(value, v10, grad_out, g, channels)
                    _add(grad_value, v10, f10, grad_out, g, channels)
                if y0 + 1 < height and x0 + 1 < width:
                    d11 = _dot(value, v11, grad_out, g, channels)
                    _add(grad_value, v11, f11, grad_out, g, channels)
            grad_weights[sample] = upper * (left * d00 + right * d01) + lower * (left * d10 + right * d11)
            slope_x = upper * (d01 - d00) + lower * (d11 - d10)
            slope_y = left * (d10 - d00) + right * (d11 - d01)
            grad_locations[2 * sample] = weight * slope_x * number(width)
            grad_locations[2 * sample + 1] = weight * slope_y * number(height)
