"""numba kernels of :func:`dense3d.ops.render_grid`, imported on the first CPU call (numba imports slowly).

All work on ranges ``first .. last - 1`` of rays, or of planes of the grid, whose results are disjoint. Places
and bricks are those of :mod:`.volume_rendering_kernels`; so is the rule for rays in a box. ``march`` holds
what all rays share: step, far, shell, min_transmittance.
"""

from __future__ import annotations

import numpy as np

from dense3d.ops.volume_rendering_kernels import SHIFT, clamped, jit, skipped_to


@jit(forceinline=True)
def _radius(start, slope, t, shape, shell):
    """Largest coordinate of a place on a ray, in halves of the inner box."""
    grow = 1 + shell
    x = abs(start[0] + t * slope[0] - 0.5 * (shape[0] - 1)) * grow / (0.5 * shape[0])
    y = abs(start[1] + t * slope[1] - 0.5 * (shape[1] - 1)) * grow / (0.5 * shape[1])
    z = abs(start[2] + t * slope[2] - 0.5 * (shape[2] - 1)) * grow / (0.5 * shape[2])
    return max(x, y, z)


@jit(forceinline=True)
def _place(start, slope, t, shape, shell):
    """Where the grid is sampled for the place at distance t, between the centres of the outermost voxels."""
    x, y, z = start[0] + t * slope[0], start[1] + t * slope[1], start[2] + t * slope[2]
    if shell > 0:
        radius = _radius(start, slope, t, shape, shell)
        if radius > 1:
            factor = (1 + shell - shell / radius) / radius
            a, b, c = 0.5 * (shape[0] - 1), 0.5 * (shape[1] - 1), 0.5 * (shape[2] - 1)
            x, y, z = a + factor * (x - a), b + factor * (y - b), c + factor * (z - c)
    return clamped(x, shape[0]), clamped(y, shape[1]), clamped(z, shape[2])


@jit(forceinline=True)
def _interval(i, t, start, slope, way, shape, march):
    """Begin, length and length in the grid of the interval i of a ray, whose predecessor ended at t.

    The length is 0 behind the last one.
    """
    if march[2] > 0:
        radius = _radius(start, slope, t, shape, march[2])
        growth = max(1.0, radius * radius / march[2]) if radius > 1 else 1.0
        length = max(0.0, min(march[0] * growth, march[1] - t))
        return t, length, length / growth
    length = way[1] if i < way[2] else 0.0
    return way[0] + i * way[1], length, length


@jit(forceinline=True)
def _mixed(grid, i, j, k, i1, j1, k1, fx, fy, fz, channel):
    """Trilinear value of a channel."""
    a, b = float(grid[i, j, k, channel]), float(grid[i, j, k1, channel])
    c, d = float(grid[i, j1, k, channel]), float(grid[i, j1, k1, channel])
    e, f = float(grid[i1, j, k, channel]), float(grid[i1, j, k1, channel])
    g, h = float(grid[i1, j1, k, channel]), float(grid[i1, j1, k1, channel])
    a, c, e, g = a + fz * (b - a), c + fz * (d - c), e + fz * (f - e), g + fz * (h - g)
    a, e = a + fy * (c - a), e + fy * (g - e)
    return a + fx * (e - a)


@jit(forceinline=True)
def _cell(x, y, z, shape):
    """The eight voxels around a place, and its share of the way between them."""
    i, j, k = int(x), int(y), int(z)
    i1, j1, k1 = min(i + 1, shape[0] - 1), min(j + 1, shape[1] - 1), min(k + 1, shape[2] - 1)
    return i, j, k, i1, j1, k1, x - i, y - j, z - k


@jit(forceinline=True)
def _next(i, t, length, reach, start, slope, way, offset, place, bricks, march):
    """The interval after an empty one: in a box the first that may lie outside of the empty bricks."""
    if march[2] > 0:
        return i + 1, t + length
    brick = int(place[0]) >> SHIFT, int(place[1]) >> SHIFT, int(place[2]) >> SHIFT
    near = way[0] + (offset - 0.5) * way[1]
    return skipped_to(start, slope, brick, bricks, reach, near, way[1], i), t


@jit()
def render(first, last, grid, starts, slopes, ways, offsets, distances, march, out, used):
    """out (R, 5): premultiplied red, green, blue, distance, and the light that is left; used (R,): samples.

    ``starts``, ``slopes`` (R, 3) are in voxels, ``ways`` (R, 3): near, interval, count; ``distances`` of
    each brick is 0, or how many bricks away the nearest is that is not empty.
    """
    shape, bricks = grid.shape, distances.shape
    for ray in range(first, last):
        start = starts[ray, 0], starts[ray, 1], starts[ray, 2]
        slope = slopes[ray, 0], slopes[ray, 1], slopes[ray, 2]
        way = ways[ray, 0], ways[ray, 1], ways[ray, 2]
        light, red, green, blue, away = 1.0, 0.0, 0.0, 0.0, 0.0
        i, t, count = 0, way[0], 0
        while light >= march[3]:
            t, length, thickness = _interval(i, t, start, slope, way, shape, march)
            if not length > 0:
                break
            middle = t + offsets[ray] * length
            place = _place(start, slope, middle, shape, march[2])
            reach = int(distances[int(place[0]) >> SHIFT, int(place[1]) >> SHIFT, int(place[2]) >> SHIFT])
            if reach > 0:
                i, t = _next(i, t, length, reach, start, slope, way, offsets[ray], place, bricks, march)
                continue
            i, t = i + 1, t + length
            a, b, c, d, e, f, x, y, z = _cell(place[0], place[1], place[2], shape)
            density = _mixed(grid, a, b, c, d, e, f, x, y, z, 3)
            if not density > 0:
                continue
            count += 1
            passed = np.exp(-density * thickness)
            weight = light * (1 - passed)
            red += weight * _mixed(grid, a, b, c, d, e, f, x, y, z, 0)
            green += weight * _mixed(grid, a, b, c, d, e, f, x, y, z, 1)
            blue += weight * _mixed(grid, a, b, c, d, e, f, x, y, z, 2)
            away += weight * middle
            light *= passed
        out[ray, 0], out[ray, 1], out[ray, 2], out[ray, 3], out[ray, 4] = red, green, blue, away, light
        used[ray] = count


@jit()
def sample_gradients(
    first, last, grid, starts, slopes, ways, offsets, distances, march, out, grads, begins, planes, samples
):
    """What each sample that counts does to the loss; those of a ray begin at its place in ``begins``.

    With v_i, how the loss changes by the weight of sample i, and G, how by the light that is left (grads
    (R, 5)), the derivative by the optical depth of a sample is T_{i+1} v_i - sum_{j > i} w_j v_j - T_S G.
    planes (N,): the first coordinate; samples (N, 6): the others, and the gradient by the four channels.
    """
    shape, bricks = grid.shape, distances.shape
    for ray in range(first, last):
        start = starts[ray, 0], starts[ray, 1], starts[ray, 2]
        slope = slopes[ray, 0], slopes[ray, 1], slopes[ray, 2]
        way = ways[ray, 0], ways[ray, 1], ways[ray, 2]
        ga, gb, gc, gd = grads[ray, 0], grads[ray, 1], grads[ray, 2], grads[ray, 3]
        behind = float(ga * out[ray, 0] + gb * out[ray, 1] + gc * out[ray, 2] + gd * out[ray, 3])
        rest = float(grads[ray, 4] * out[ray, 4])
        light, i, t, n = 1.0, 0, way[0], begins[ray]
        while light >= march[3] and n < begins[ray + 1]:
            t, length, thickness = _interval(i, t, start, slope, way, shape, march)
            middle = t + offsets[ray] * length
            place = _place(start, slope, middle, shape, march[2])
            reach = int(distances[int(place[0]) >> SHIFT, int(place[1]) >> SHIFT, int(place[2]) >> SHIFT])
            if reach > 0:
                i, t = _next(i, t, length, reach, start, slope, way, offsets[ray], place, bricks, march)
                continue
            i, t = i + 1, t + length
            a, b, c, d, e, f, x, y, z = _cell(place[0], place[1], place[2], shape)
            density = _mixed(grid, a, b, c, d, e, f, x, y, z, 3)
            if not density > 0:
                continue
            passed = np.exp(-density * thickness)
            weight = light * (1 - passed)
            value = ga * _mixed(grid, a, b, c, d, e, f, x, y, z, 0) + gd * middle
            value += gb * _mixed(grid, a, b, c, d, e, f, x, y, z, 1)
            value += gc * _mixed(grid, a, b, c, d, e, f, x, y, z, 2)
            light *= passed
            behind -= weight * value
            planes[n], samples[n, 0], samples[n, 1] = place
            samples[n, 2], samples[n, 3], samples[n, 4] = weight * ga, weight * gb, weight * gc
            samples[n, 5] = thickness * (light * value - behind - rest)
            n += 1


@jit(forceinline=True)
def _spread(grad, i, j, k, j1, k1, fy, fz, share, samples, n):
    """Add to the four voxels of a plane."""
    a, b = share * (1 - fy) * (1 - fz), share * (1 - fy) * fz
    c, d = share * fy * (1 - fz), share * fy * fz
    for channel in range(4):
        value = samples[n, 2 + channel]
        grad[i, j, k, channel] += a * value
        grad[i, j, k1, channel] += b * value
        grad[i, j1, k, channel] += c * value
        grad[i, j1, k1, channel] += d * value


@jit()
def scatter(first, last, planes, samples, grad):
    """Samples to the planes ``first .. last - 1`` of the grid's gradient, in the order of the samples."""
    shape = grad.shape
    for n in range(len(planes)):
        i = int(planes[n])
        if i < first - 1 or i >= last:
            continue
        y, z = samples[n, 0], samples[n, 1]
        j, k = int(y), int(z)
        j1, k1 = min(j + 1, shape[1] - 1), min(k + 1, shape[2] - 1)
        fx, fy, fz = planes[n] - i, y - j, z - k
        if i >= first:
            _spread(grad, i, j, k, j1, k1, fy, fz, 1 - fx, samples, n)
        if fx > 0 and i + 1 < last:
            _spread(grad, i + 1, j, k, j1, k1, fy, fz, fx, samples, n)
