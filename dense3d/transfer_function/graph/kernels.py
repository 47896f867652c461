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
def lay_out(degree, held, values, prior, start, pull, seed, scales, rights, result):
    """The walker's system with a unit diagonal, ``D^-1/2 A D^-1/2``, in blocks of eight columns.

    float32 then holds seeds beside weights of a millionth. held, values, prior, start: (N, C); scales,
    rights, result: (B, N, 8) float32, zero where a column is missing; result gets the start.
    """
    nodes, classes = held.shape
    for row in range(nodes):
        for c in range(classes):
            own = seed if held[row, c] else 0.0
            root = np.sqrt(degree[row] + pull + own)
            block, column = c // 8, c % 8
            scales[block, row, column] = 1 / root
            rights[block, row, column] = (pull * prior[row, c] + own * values[row, c]) / root
            result[block, row, column] = (values[row, c] if own else start[row, c]) * root


@njit(nogil=True)
def take_out(result, scales, out):
    """``out[row, c] = result * scale``, from blocks of eight columns."""
    for row in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[row, c] = result[c // 8, row, c % 8] * scales[c // 8, row, c % 8]


@njit(nogil=True, slp_vectorize=True, fastmath={"contract"})
def conjugate_gradients(first, last, starts, columns, weights, scales, rights, result, tolerance, most_steps):
    """Solve ``(1 - diag(scale) W diag(scale)) x = right`` for blocks ``first .. last - 1`` of x.

    W is symmetric and sparse, each column has a scale of its own. scales, rights, result: (B, N, 8) float32,
    eight columns a block; result holds the start and then the solution. It ends when each column's residual
    is below ``tolerance`` times its first, or after ``most_steps``. Eight columns go together because each
    edge is then read once for them, and their sums stay in a vector register.
    """
    for block in range(first, last):
        scale, right, x = scales[block], rights[block], result[block]
        nodes = len(x)
        scaled, image, residual = np.empty_like(x), np.empty_like(x), np.empty_like(x)
        for row in range(nodes):
            for c in range(8):
                scaled[row, c] = scale[row, c] * x[row, c]
        _apply(starts, columns, weights, scale, x, scaled, image)
        energy, before, step, share = np.zeros(8), np.zeros(8), np.zeros(8), np.zeros(8, np.float32)
        for row in range(nodes):
            for c in range(8):
                residual[row, c] = right[row, c] - image[row, c]
                energy[c] += residual[row, c] * residual[row, c]
        limit = np.maximum(energy * tolerance**2, 1e-30)
        direction = residual.copy()
        for row in range(nodes):
            for c in range(8):
                scaled[row, c] = scale[row, c] * direction[row, c]
        for _ in range(most_steps):
            if (energy <= limit).all():
                break
            step[:] = _apply(starts, columns, weights, scale, direction, scaled, image)
            for c in range(8):
                share[c] = energy[c] / step[c] if energy[c] > limit[c] and step[c] > 0 else 0.0
            before[:] = energy
            energy[:] = _advance(x, residual, direction, image, share)
            for c in range(8):
                share[c] = energy[c] / max(before[c], 1e-30)
            for row in range(nodes):
                for c in range(8):
                    direction[row, c] = residual[row, c] + share[c] * direction[row, c]
                    scaled[row, c] = scale[row, c] * direction[row, c]


@njit(nogil=True, slp_vectorize=True, fastmath={"contract"})
def _apply(starts, columns, weights, scale, x, scaled, out):
    """``out = (1 - diag(scale) W diag(scale)) x`` of eight columns, where ``scaled = scale * x``; x . out."""
    d0 = d1 = d2 = d3 = d4 = d5 = d6 = d7 = 0.0
    for row in range(np.uintp(len(out))):  # unsigned: numba then does not look for indices below zero
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0)
        for entry in range(np.uintp(starts[row]), np.uintp(starts[row + np.uintp(1)])):
            column, weight = np.uintp(columns[entry]), weights[entry]
            s0 += weight * scaled[column, 0]
            s1 += weight * scaled[column, 1]
            s2 += weight * scaled[column, 2]
            s3 += weight * scaled[column, 3]
            s4 += weight * scaled[column, 4]
            s5 += weight * scaled[column, 5]
            s6 += weight * scaled[column, 6]
            s7 += weight * scaled[column, 7]
        out[row, 0] = x[row, 0] - scale[row, 0] * s0
        out[row, 1] = x[row, 1] - scale[row, 1] * s1
        out[row, 2] = x[row, 2] - scale[row, 2] * s2
        out[row, 3] = x[row, 3] - scale[row, 3] * s3
        out[row, 4] = x[row, 4] - scale[row, 4] * s4
        out[row, 5] = x[row, 5] - scale[row, 5] * s5
        out[row, 6] = x[row, 6] - scale[row, 6] * s6
        out[row, 7] = x[row, 7] - scale[row, 7] * s7
        d0 += x[row, 0] * out[row, 0]
        d1 += x[row, 1] * out[row, 1]
        d2 += x[row, 2] * out[row, 2]
        d3 += x[row, 3] * out[row, 3]
        d4 += x[row, 4] * out[row, 4]
        d5 += x[row, 5] * out[row, 5]
        d6 += x[row, 6] * out[row, 6]
        d7 += x[row, 7] * out[row, 7]
    return d0, d1, d2, d3, d4, d5, d6, d7


@njit(nogil=True, slp_vectorize=True, fastmath={"contract"})
def _advance(x, residual, direction, image, step):
    """One step of eight columns along ``direction``; the residuals' squared lengths after it."""
    e0 = e1 = e2 = e3 = e4 = e5 = e6 = e7 = 0.0
    for row in range(len(x)):
        for c in range(8):
            x[row, c] += step[c] * direction[row, c]
            residual[row, c] -= step[c] * image[row, c]
        e0 += residual[row, 0] * residual[row, 0]
        e1 += residual[row, 1] * residual[row, 1]
        e2 += residual[row, 2] * residual[row, 2]
        e3 += residual[row, 3] * residual[row, 3]
        e4 += residual[row, 4] * residual[row, 4]
        e5 += residual[row, 5] * residual[row, 5]
        e6 += residual[row, 6] * residual[row, 6]
        e7 += residual[row, 7] * residual[row, 7]
    return e0, e1, e2, e3, e4, e5, e6, e7


@njit(nogil=True)
def gather(table, ids, out):
    """``out[c, i, j, k] = table[c, ids[i, j, k]]``."""
    for c in range(table.shape[0]):
        for i in range(ids.shape[0]):
            for j in range(ids.shape[1]):
                for k in range(ids.shape[2]):
                    out[c, i, j, k] = table[c, ids[i, j, k]]
