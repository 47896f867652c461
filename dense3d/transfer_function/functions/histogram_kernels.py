"""numba kernels of histograms (numba imports slowly: not at the top of a module)."""

from __future__ import annotations

import numpy as np

from dense3d.ops.volume_rendering_kernels import jit


@jit()
def count_values(first, last, values, low, scale, counts):
    """Parts ``first .. last - 1`` of the (X, Y, Z) volume along x, each into its own row of counts (T, N)."""
    parts, bins = counts.shape
    for part in range(first, last):
        for x in range(len(values) * part // parts, len(values) * (part + 1) // parts):
            for y in range(values.shape[1]):
                for z in range(values.shape[2]):
                    at = (float(values[x, y, z]) - low) * scale
                    if 0 <= at <= bins:
                        counts[part, min(int(at), bins - 1)] += 1


@jit()
def count_slopes(first, last, values, low, scale, steepness, inverse, counts):
    """The same for values and gradient magnitudes: counts (T, N, G); the last column has all that is steeper.

    Central differences, to the edge's own value at the edge, in the world by the inverse transpose of the
    affine: what renderers take at voxel centres. ``steepness`` is bins a unit of gradient.
    """
    parts, bins, slopes = counts.shape
    shape = values.shape
    for part in range(first, last):
        for x in range(shape[0] * part // parts, shape[0] * (part + 1) // parts):
            for y in range(shape[1]):
                for z in range(shape[2]):
                    at = (float(values[x, y, z]) - low) * scale
                    if not 0 <= at <= bins:
                        continue
                    gx = 0.5 * (
                        float(values[min(x + 1, shape[0] - 1), y, z]) - float(values[max(x - 1, 0), y, z])
                    )
                    gy = 0.5 * (
                        float(values[x, min(y + 1, shape[1] - 1), z]) - float(values[x, max(y - 1, 0), z])
                    )
                    gz = 0.5 * (
                        float(values[x, y, min(z + 1, shape[2] - 1)]) - float(values[x, y, max(z - 1, 0)])
                    )
                    wx = gx * inverse[0, 0] + gy * inverse[1, 0] + gz * inverse[2, 0]
                    wy = gx * inverse[0, 1] + gy * inverse[1, 1] + gz * inverse[2, 1]
                    wz = gx * inverse[0, 2] + gy * inverse[1, 2] + gz * inverse[2, 2]
                    slope = np.sqrt(wx * wx + wy * wy + wz * wz) * steepness
                    counts[part, min(int(at), bins - 1), min(int(slope), slopes - 1)] += 1
