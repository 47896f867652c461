"""Loops over voxels and edges, compiled by numba at their first call."""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit


@njit(nogil=True)
def assign(intensity, spacing, cells, centres, means, weight, ids):
    """Each voxel to the nearest of the 27 regions that started in its cell or in a neighbouring one."""
    size_x, size_y, size_z = intensity.shape
    cells_x, cells_y, cells_z = cells
    for i in range(size_x):
        cell_x = (2 * i + 1) * cells_x // (2 * size_x)
        for j in range(size_y):
            cell_y = (2 * j + 1) * cells_y // (2 * size_y)
            for k in range(size_z):
                cell_z = (2 * k + 1) * cells_z // (2 * size_z)
                value, nearest, region = intensity[i, j, k], np.inf, 0
                for a in range(max(0, cell_x - 1), min(cells_x, cell_x + 2)):
                    for b in range(max(0, cell_y - 1), min(cells_y, cell_y + 2)):
                        for c in range(max(0, cell_z - 1), min(cells_z, cell_z + 2)):
                            other = (a * cells_y + b) * cells_z + c
                            x = (i - centres[other, 0]) * spacing[0]
                            y = (j - centres[other, 1]) * spacing[1]
                            z = (k - centres[other, 2]) * spacing[2]
                            difference = value - means[other]
                            distance = x * x + y * y + z * z + weight * difference * difference
                            if distance < nearest:
                                nearest, region = distance, other
                ids[i, j, k] = region


@njit(nogil=True)
def update(intensity, ids, centres, means, sizes):
    """Mean position and intensity of each region; those that lost all voxels go out of reach."""
    centres[:] = 0
    means[:] = 0
    sizes[:] = 0
    size_x, size_y, size_z = intensity.shape
    for i in range(size_x):
        for j in range(size_y):
            for k in range(size_z):
                region = ids[i, j, k]
                sizes[region] += 1
                means[region] += intensity[i, j, k]
                centres[region, 0] += i
                centres[region, 1] += j
                centres[region, 2] += k
    for region in range(len(sizes)):
        if sizes[region]:
            means[region] /= sizes[region]
            centres[region] /= sizes[region]
        else:
            centres[region] = np.inf


@njit(nogil=True)
def contacts(intensity, ids, areas, neighbours, area, step):
    """Fill each region's row with its neighbours of higher number, the area and the intensity step between.

    ``neighbours`` (count, M) is -1 where free; faces to more than M neighbours are left out.
    """
    size_x, size_y, size_z = intensity.shape
    slots = neighbours.shape[1]
    for i in range(size_x):
        for j in range(size_y):
            for k in range(size_z):
                for axis in range(3):
                    i2, j2, k2 = i + (axis == 0), j + (axis == 1), k + (axis == 2)
                    if i2 == size_x or j2 == size_y or k2 == size_z:
                        continue
                    low, high = ids[i, j, k], ids[i2, j2, k2]
                    if low == high:
                        continue
                    low, high = min(low, high), max(low, high)
                    for slot in range(slots):
                        if neighbours[low, slot] == -1:
                            neighbours[low, slot] = high
                        if neighbours[low, slot] == high:
                            area[low, slot] += areas[axis]
                            step[low, slot] += areas[axis] * abs(intensity[i, j, k] - intensity[i2, j2, k2])
                            break


@njit(nogil=True)
def boxes(ids, low, high):
    """Bounding box of each region, ``low <= index < high``; low starts at the shape, high at 0."""
    for i in range(ids.shape[0]):
        for j in range(ids.shape[1]):
            for k in range(ids.shape[2]):
                region = ids[i, j, k]
                low[region, 0], high[region, 0] = min(low[region, 0], i), max(high[region, 0], i + 1)
                low[region, 1], high[region, 1] = min(low[region, 1], j), max(high[region, 1], j + 1)
                low[region, 2], high[region, 2] = min(low[region, 2], k), max(high[region, 2], k + 1)


@njit(nogil=True)
def gather(table, ids, out):
    """``out[c, i, j, k] = table[c, ids[i, j, k]]``."""
    for c in range(table.shape[0]):
        for i in range(ids.shape[0]):
            for j in range(ids.shape[1]):
                for k in range(ids.shape[2]):
                    out[c, i, j, k] = table[c, ids[i, j, k]]
