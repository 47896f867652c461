"""numba kernels of multi-scale deformable attention, imported on the first CPU call (numba imports slowly).

Arrays are flat and C-contiguous: value (B, S, M, D), locations (B, Q, M, L, P, 2), weights (B, Q, M, L, P),
output (B, Q, M, D); B batch, S pixels of all levels, M heads, D channels, Q queries, L levels, P points.

Every output element belongs to one task and is accumulated in the order of its queries, levels and points:
the forward splits the work by batch and block of queries; the backward by batch, head and level, whose
slices of the value gradient are disjoint. So the results are the same bits for any number of threads.

What makes them fast, each seen in the machine code:

* D is the length of a tuple, so that it is a constant of the compiled kernel and the loops over channels
  become a few vector instructions without remainder.
* Offsets are unsigned: numba checks signed ones for negative values, which keeps loops from being vectorised.
* The backward works on its own contiguous copy of a level. The rows of one head are a power of two apart in
  ``value``, so that they would share few cache sets; and constant distances show that rows do not overlap.
* Helpers are inlined by numba, before LLVM sees loops of unknown length in them.
"""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit

QUERY_BLOCK = 64


def _jit(**options):
    """``njit`` that releases the GIL."""
    return njit(nogil=True, error_model="numpy", **options)


@_jit(fastmath={"contract"})
def _pixel(location, size):
    """Pixel coordinate of a normalised location, rounded in the steps in which ``grid_sample`` rounds it.

    Locations on pixel centres have one-sided gradients; with the same rounding both take the same side.
    """
    one, half = type(location)(1), type(location)(0.5)
    grid = (location + location) - one
    return (grid + one) * (size * half) - half


@_jit(inline="always")
def _floor(x):
    """Floor of a pixel coordinate, which is greater than -1 (``math.floor`` is a slow call into libm)."""
    return int(x) if x >= 0 else -1


@_jit(inline="always")
def _add(out, i, factor, a, j, channels):
    """Add a scaled row of ``a`` to a row of ``out``."""
    for d in range(channels):
        out[i + d] += factor * a[j + d]


@_jit(inline="always")
def _dot(a, i, b, j, channels, zero):
    total = zero
    for d in range(channels):
        total += a[i + d] * b[j + d]
    return total


@_jit(inline="always")
def _copy(out, i, a, j, channels):
    for d in range(channels):
        out[i + d] = a[j + d]


@_jit(fastmath={"contract", "reassoc"})
def forward(first, last, value, shapes, starts, locations, weights, out, sizes, lanes):
    """Tasks ``first .. last - 1`` of ``B * ceil(Q / QUERY_BLOCK)``; writes all of ``out``.

    ``shapes`` (L, 2) and ``starts`` (L,) describe the levels, ``sizes`` is (S, M, Q, P) and ``lanes`` any
    tuple of length D.
    """
    num_keys, num_heads, num_queries, num_points = sizes
    channels, row = np.uint64(len(lanes)), num_heads * len(lanes)
    number, zero = value.dtype.type, np.uint64(0)
    num_levels, blocks = len(starts), (num_queries + QUERY_BLOCK - 1) // QUERY_BLOCK
    total = np.empty(len(lanes), value.dtype)
    for task in range(first, last):
        batch, block = task // blocks, task % blocks
        begin = (batch * num_queries + block * QUERY_BLOCK) * num_heads
        end = (batch * num_queries + min(num_queries, (block + 1) * QUERY_BLOCK)) * num_heads
        for index in range(begin, end):  # (batch, query, head)
            total[:] = 0
            base = batch * num_keys * row + index % num_heads * len(lanes)
            for level in range(num_levels):
                height, width = shapes[level, 0], shapes[level, 1]
                for point in range(num_points):
                    sample = (index * num_levels + level) * num_points + point
                    x = _pixel(locations[np.uint64(2 * sample)], number(width))
                    y = _pixel(locations[np.uint64(2 * sample + 1)], number(height))
                    if not (x > -1 and y > -1 and x < number(width) and y < number(height)):
                        continue
                    x0, y0 = _floor(x), _floor(y)
                    right, lower = x - number(x0), y - number(y0)
                    left, upper = number(1) - right, number(1) - lower
                    weight = weights[np.uint64(sample)]
                    f00, f01 = weight * upper * left, weight * upper * right
                    f10, f11 = weight * lower * left, weight * lower * right
                    corner = base + (starts[level] + y0 * width + x0) * row
                    v00, v01 = np.uint64(corner), np.uint64(corner + row)
                    v10, v11 = np.uint64(corner + width * row), np.uint64(corner + (width + 1) * row)
                    if x0 >= 0 and y0 >= 0 and x0 + 1 < width and y0 + 1 < height:
                        for d in range(channels):
                            top = f00 * value[v00 + d] + f01 * value[v01 + d]
                            total[d] += top + (f10 * value[v10 + d] + f11 * value[v11 + d])
                        continue
                    if y0 >= 0 and x0 >= 0:
                        _add(total, zero, f00, value, v00, channels)
                    if y0 >= 0 and x0 + 1 < width:
                        _add(total, zero, f01, value, v01, channels)
                    if y0 + 1 < height and x0 >= 0:
                        _add(total, zero, f10, value, v10, channels)
                    if y0 + 1 < height and x0 + 1 < width:
                        _add(total, zero, f11, value, v11, channels)
            _copy(out, np.uint64(index * len(lanes)), total, zero, channels)


@_jit(fastmath={"contract", "reassoc"})
def backward(first, last, value, shapes, starts, locations, weights, grad_out, grads, sizes, lanes):
    """Tasks ``first .. last - 1`` of ``B * M * L``.

    ``grads`` are the gradients of value, locations and weights; the last two start as zeros, the first is
    written as a whole. The rest as in :func:`forward`.
    """
    num_keys, num_heads, num_queries, num_points = sizes
    grad_value, grad_locations, grad_weights = grads
    channels, row = np.uint64(len(lanes)), num_heads * len(lanes)
    number, num_levels = value.dtype.type, len(starts)
    for task in range(first, last):
        batch, head, level = (
            task // (num_heads * num_levels),
            task // num_levels % num_heads,
            task % num_levels,
        )
        height, width = shapes[level, 0], shapes[level, 1]
        base = (batch * num_keys + starts[level]) * row + head * len(lanes)
        pixels = np.empty(height * width * len(lanes), value.dtype)
        grad_pixels = np.zeros(height * width * len(lanes), value.dtype)
        for pixel in range(height * width):
            _copy(pixels, np.uint64(pixel * len(lanes)), value, np.uint64(base + pixel * row), channels)
        for query in range(num_queries):
            index = (batch * num_queries + query) * num_heads + head
            g = np.uint64(index * len(lanes))
            for point in range(num_points):
                sample = (index * num_levels + level) * num_points + point
                x = _pixel(locations[np.uint64(2 * sample)], number(width))
                y = _pixel(locations[np.uint64(2 * sample + 1)], number(height))
                if not (x > -1 and y > -1 and x < number(width) and y < number(height)):
                    continue
                x0, y0 = _floor(x), _floor(y)
                right, lower = x - number(x0), y - number(y0)
                left, upper = number(1) - right, number(1) - lower
                weight = weights[np.uint64(sample)]
                f00, f01 = weight * upper * left, weight * upper * right
                f10, f11 = weight * lower * left, weight * lower * right
                corner = (y0 * width + x0) * len(lanes)
                v00, v01 = np.uint64(corner), np.uint64(corner + len(lanes))
                v10 = np.uint64(corner + width * len(lanes))
                v11 = np.uint64(corner + width * len(lanes) + len(lanes))
                d00 = d01 = d10 = d11 = number(0)
                if x0 >= 0 and y0 >= 0 and x0 + 1 < width and y0 + 1 < height:
                    for d in range(channels):
                        grad = grad_out[g + d]
                        d00 += pixels[v00 + d] * grad
                        d01 += pixels[v01 + d] * grad
                        d10 += pixels[v10 + d] * grad
                        d11 += pixels[v11 + d] * grad
                    for d in range(channels):
                        grad_pixels[v00 + d] += f00 * grad_out[g + d]
                        grad_pixels[v01 + d] += f01 * grad_out[g + d]
                    for d in range(channels):
                        grad_pixels[v10 + d] += f10 * grad_out[g + d]
                        grad_pixels[v11 + d] += f11 * grad_out[g + d]
                else:
                    if y0 >= 0 and x0 >= 0:
                        d00 = _dot(pixels, v00, grad_out, g, channels, number(0))
                        _add(grad_pixels, v00, f00, grad_out, g, channels)
                    if y0 >= 0 and x0 + 1 < width:
                        d01 = _dot(pixels, v01, grad_out, g, channels, number(0))
                        _add(grad_pixels, v01, f01, grad_out, g, channels)
                    if y0 + 1 < height and x0 >= 0:
                        d10 = _dot(pixels, v10, grad_out, g, channels, number(0))
                        _add(grad_pixels, v10, f10, grad_out, g, channels)
                    if y0 + 1 < height and x0 + 1 < width:
                        d11 = _dot(pixels, v11, grad_out, g, channels, number(0))
                        _add(grad_pixels, v11, f11, grad_out, g, channels)
                grad_weights[np.uint64(sample)] = upper * (left * d00 + right * d01) + lower * (
                    left * d10 + right * d11
                )
                slope_x = upper * (d01 - d00) + lower * (d11 - d10)
                slope_y = left * (d10 - d00) + right * (d11 - d01)
                grad_locations[np.uint64(2 * sample)] = weight * slope_x * number(width)
                grad_locations[np.uint64(2 * sample + 1)] = weight * slope_y * number(height)
        for pixel in range(height * width):
            _copy(
                grad_value,
                np.uint64(base + pixel * row),
                grad_pixels,
                np.uint64(pixel * len(lanes)),
                channels,
            )
