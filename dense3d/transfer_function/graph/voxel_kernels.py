"""Loops over the voxels where classes meet, compiled by numba at their first call."""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit


@njit(nogil=True)
def mark_borders(first, last, scores, step, reach, band):
    """Set ``band`` up to ``reach`` voxels before and behind each face at which a score jumps.

    A jump is a difference of at least ``step``, or one that crosses a half. Faces are those of the voxels
    ``first <= i < last`` to the next ones.
    """
    classes, size_x, size_y, size_z = scores.shape
    for i in range(first, last):
        for axis in range(3):
            di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
            if i + di == size_x:
                continue
            for c in range(classes):
                for j in range(size_y - dj):
                    for k in range(size_z - dk):
                        here, there = (
                            np.int32(scores[c, i, j, k]),
                            np.int32(scores[c, i + di, j + dj, k + dk]),
                        )
                        if here == there or (abs(here - there) < step and (here > 127) == (there > 127)):
                            continue
                        for t in range(1 - reach, reach + 1):
                            x, y, z = i + t * di, j + t * dj, k + t * dk
                            if 0 <= x < size_x and 0 <= y < size_y and 0 <= z < size_z:
                                band[x, y, z] = True


@njit(nogil=True, fastmath=True)
def filter_voxels(first, last, scores, intensity, places, near, alike, values):
    """Rows of ``values`` (N, C): joint bilateral means of scores (C, X, Y, Z) around flat places (N,)."""
    classes, size_x, size_y, size_z = scores.shape
    radius, levels = near.shape[0] // 2, len(alike) - 1
    sums = np.zeros(classes, np.float32)
    for n in range(first, last):
        i, j, k = places[n] // (size_y * size_z), places[n] // size_z % size_y, places[n] % size_z
        own, total = intensity[i, j, k], np.float32(0)
        sums[:] = 0
        for x in range(max(0, i - radius), min(size_x, i + radius + 1)):
            for y in range(max(0, j - radius), min(size_y, j + radius + 1)):
                for z in range(max(0, k - radius), min(size_z, k + radius + 1)):
                    difference = abs(intensity[x, y, z] - own)
                    weight = alike[int(difference * levels + np.float32(0.5))]
                    weight *= near[x - i + radius, y - j + radius, z - k + radius]
                    total += weight
                    for c in range(classes):
                        sums[c] += weight * scores[c, x, y, z]
        for c in range(classes):
            values[n, c] = np.uint8(sums[c] / total + np.float32(0.5))
