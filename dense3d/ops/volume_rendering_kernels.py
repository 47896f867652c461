"""numba kernels of compositing and ray casting, imported on the first CPU call (numba imports slowly).

All work on ranges ``first .. last - 1`` of rays or bricks, whose results are disjoint. Places in a volume are
``u = (point - origin) / spacing - 0.5`` along each axis: whole numbers are voxel centres. A brick is
``BRICK`` ^3 cells; cell ``i`` lies between the centres i and i + 1, the last one beyond the last centre, so
that brick b sees the voxels ``BRICK * b .. BRICK * (b + 1)``.
"""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit

BRICK = 8
SHIFT = 3


def jit(**options):
    """``njit`` that releases the GIL."""
    return njit(nogil=True, error_model="numpy", **options)


@jit()
def composite_forward(first, last, values, alpha, background, min_transmittance, total, weights, left):
    """values (R, S, C), alpha (R, S), background (R, C) -> total (R, C), weights (R, S), left (R,)."""
    samples, channels = values.shape[1], values.shape[2]
    for ray in range(first, last):
        light = 1.0
        for c in range(channels):
            total[ray, c] = 0
        stopped = False
        for s in range(samples):
            stopped = stopped or light < min_transmittance
            weight = 0.0 if stopped else light * alpha[ray, s]
            weights[ray, s] = weight
            if weight != 0:
                for c in range(channels):
                    total[ray, c] += weight * values[ray, s, c]
            if not stopped:
                light *= 1 - alpha[ray, s]
        left[ray] = light
        for c in range(channels):
            total[ray, c] += light * background[ray, c]


@jit()
def composite_backward(
    first, last, values, alpha, background, min_transmittance, grads, grad_values, grad_alpha, grad_background
):
    """From the back: ``behind`` is the derivative by the light that leaves a sample.

    That by the opacity a_i is then T_i (v_i - behind), without a division by 1 - a_i.
    """
    grad_total, grad_weights, grad_left = grads
    samples, channels = values.shape[1], values.shape[2]
    light = np.empty(samples + 1)
    for ray in range(first, last):
        light[0] = 1.0
        count = samples
        for s in range(samples):
            if light[s] < min_transmittance:
                count = s
                break
            light[s + 1] = light[s] * (1 - alpha[ray, s])
        behind = float(grad_left[ray])
        for c in range(channels):
            grad_background[ray, c] = light[count] * grad_total[ray, c]
            behind += grad_total[ray, c] * background[ray, c]
        for s in range(count, samples):
            grad_alpha[ray, s] = 0
            for c in range(channels):
                grad_values[ray, s, c] = 0
        for s in range(count - 1, -1, -1):
            own = float(grad_weights[ray, s])
            weight = light[s] * alpha[ray, s]
            for c in range(channels):
                own += grad_total[ray, c] * values[ray, s, c]
                grad_values[ray, s, c] = weight * grad_total[ray, c]
            grad_alpha[ray, s] = light[s] * (own - behind)
            behind = alpha[ray, s] * own + (1 - alpha[ray, s]) * behind


@jit()
def brick_ranges(first, last, volume, low, high):
    """Smallest and largest voxel that each brick sees; ``first .. last`` are rows of bricks along x."""
    for bx in range(first, last):
        for by in range(low.shape[1]):
            for bz in range(low.shape[2]):
                smallest = largest = volume[bx * BRICK, by * BRICK, bz * BRICK]
                for x in range(bx * BRICK, min((bx + 1) * BRICK + 1, volume.shape[0])):
                    for y in range(by * BRICK, min((by + 1) * BRICK + 1, volume.shape[1])):
                        for z in range(bz * BRICK, min((bz + 1) * BRICK + 1, volume.shape[2])):
                            value = volume[x, y, z]
                            smallest = min(smallest, value)
                            largest = max(largest, value)
                low[bx, by, bz], high[bx, by, bz] = smallest, largest


@jit(forceinline=True)
def clamped(u, count):
    """Between the centres of the outermost voxels."""
    return min(max(u, 0.0), count - 1.0)


@jit(forceinline=True)
def trilinear(volume, x, y, z):
    """Value between voxel centres; x, y, z are clamped."""
    i, j, k = int(x), int(y), int(z)
    i1, j1, k1 = (
        min(i + 1, volume.shape[0] - 1),
        min(j + 1, volume.shape[1] - 1),
        min(k + 1, volume.shape[2] - 1),
    )
    fx, fy, fz = x - i, y - j, z - k
    a, b = float(volume[i, j, k]), float(volume[i, j, k1])
    c, d = float(volume[i, j1, k]), float(volume[i, j1, k1])
    e, f = float(volume[i1, j, k]), float(volume[i1, j, k1])
    g, h = float(volume[i1, j1, k]), float(volume[i1, j1, k1])
    a, c, e, g = a + fz * (b - a), c + fz * (d - c), e + fz * (f - e), g + fz * (h - g)
    a, e = a + fy * (c - a), e + fy * (g - e)
    return a + fx * (e - a)


@jit(forceinline=True)
def _way_out(u, du, b, bricks, reach):
    """Along one axis: distance at which a ray leaves the bricks within ``reach - 1`` of b."""
    if du > 0:
        return (BRICK * (b + reach) - u) / du if b + reach < bricks else np.inf
    if du < 0:
        return (BRICK * (b - reach + 1) - u) / du if b - reach + 1 > 0 else np.inf
    return np.inf


@jit(forceinline=True)
def skipped_to(start, slope, brick, shape, reach, near, interval, i):
    """The first sample that may lie outside of the empty bricks around ``brick``, after sample ``i``.

    ``reach`` is the Chebyshev distance of the nearest brick that is not empty. Rounding is towards an earlier
    sample, so that none is left out that should count.
    """
    way = min(
        _way_out(start[0], slope[0], brick[0], shape[0], reach),
        _way_out(start[1], slope[1], brick[1], shape[1], reach),
        _way_out(start[2], slope[2], brick[2], shape[2], reach),
    )
    samples = (way - near) / interval - 0.5
    return max(i + 1, int(samples)) if samples < 1e9 else 1 << 30


@jit(forceinline=True)
def piece_of(scalar, positions, first_pieces, scale):
    """Index of the piece between control points that holds a scalar; ``first_pieces`` saves the search."""
    last = len(positions) - 2
    if not scalar >= positions[0]:
        return 0
    k = first_pieces[min(int((scalar - positions[0]) * scale), len(first_pieces) - 1)]
    while k < last and positions[k + 1] <= scalar:
        k += 1
    return k


@jit(_nrt=False)  # counting references to arrays costs more than a sample
def cast(first, last, volume, starts, slopes, ways, transfer, distances, min_transmittance, out):
    """Rays (R,): ``starts``, ``slopes`` (R, 3) in voxels, ``ways`` (R, 3): near, interval, count; out (R, 4).

    ``transfer`` is positions (P,), rows (P, 4), first_pieces (G,) and the scale of its bins; ``distances`` of
    each brick is 0, or how many bricks away the nearest is that the transfer function does not leave empty.
    """
    positions, rows, first_pieces, scale = transfer
    shape, bricks = volume.shape, distances.shape
    for ray in range(first, last):
        start = starts[ray, 0], starts[ray, 1], starts[ray, 2]
        slope = slopes[ray, 0], slopes[ray, 1], slopes[ray, 2]
        near, interval, count = ways[ray, 0], ways[ray, 1], int(ways[ray, 2])
        light, red, green, blue = 1.0, 0.0, 0.0, 0.0
        i = 0
        while i < count and light >= min_transmittance:
            t = near + (i + 0.5) * interval
            x = clamped(start[0] + t * slope[0], shape[0])
            y = clamped(start[1] + t * slope[1], shape[1])
            z = clamped(start[2] + t * slope[2], shape[2])
            brick = int(x) >> SHIFT, int(y) >> SHIFT, int(z) >> SHIFT
            reach = distances[brick[0], brick[1], brick[2]]
            if reach > 0:
                i = skipped_to(start, slope, brick, bricks, int(reach), near, interval, i)
                continue
            i += 1
            scalar = trilinear(volume, x, y, z)
            k = piece_of(scalar, positions, first_pieces, scale)
            width = positions[k + 1] - positions[k]
            share = (scalar - positions[k]) / width if width > 0 else (1.0 if scalar >= positions[k] else 0.0)
            share = min(max(share, 0.0), 1.0)
            extinction = rows[k, 3] + share * (rows[k + 1, 3] - rows[k, 3])
            if extinction <= 0:
                continue
            passed = np.exp(-extinction * interval)
            weight = light * (1 - passed)
            red += weight * (rows[k, 0] + share * (rows[k + 1, 0] - rows[k, 0]))
            green += weight * (rows[k, 1] + share * (rows[k + 1, 1] - rows[k, 1]))
            blue += weight * (rows[k, 2] + share * (rows[k + 1, 2] - rows[k, 2]))
            light *= passed
        out[ray, 0], out[ray, 1], out[ray, 2], out[ray, 3] = red, green, blue, 1 - light
