"""Loops of the random walker over nodes and edges, compiled by numba at their first call.

Columns are classes. They go in blocks of eight, ``(B, N, 8)`` float32, zero where a column is missing: each
edge is then read once for eight of them. Eight neighbours are taken as a tuple, which LLVM puts into a vector
register; statements on elements of arrays it leaves apart, since what is written may be what is read next.
"""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit

VECTORS = dict(nogil=True, slp_vectorize=True, fastmath={"contract"})


@njit(nogil=True)
def lay_out(degree, held, values, prior, start, pull, seed, scales, rights, result):
    """The walker's system with a unit diagonal, ``D^-1/2 A D^-1/2``; result gets the start.

    float32 then holds seeds beside weights of a millionth. held, values, prior, start: (N, C); scales,
    rights, result: blocks.
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
    """``out[row, c] = result * scale``, from blocks."""
    for row in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[row, c] = result[c // 8, row, c % 8] * scales[c // 8, row, c % 8]


@njit(**VECTORS)
def conjugate_gradients(first, last, starts, columns, weights, scales, rights, result, tolerance, most_steps):
    """Solve ``(1 - diag(scale) W diag(scale)) x = right`` for blocks ``first .. last - 1`` of x.

    W is symmetric and sparse, each column has a scale of its own. scales, rights, result: blocks; result
    holds the start and then the solution. It ends when each column's residual is below ``tolerance`` times
    its first, or after ``most_steps``.
    """
    for block in range(first, last):
        scale, right, x = scales[block], rights[block], result[block]
        scaled, image, residual = np.empty_like(x), np.empty_like(x), np.empty_like(x)
        direction = np.zeros_like(x)
        _turn(x, direction, np.zeros(8, np.float32), scale, scaled)  # scaled = scale * x
        _apply(starts, columns, weights, scale, x, scaled, image)
        residual[:] = right
        energy, before, length = np.zeros(8), np.zeros(8), np.zeros(8)
        step, share = np.zeros(8, np.float32), np.zeros(8, np.float32)
        energy[:] = _advance(x, residual, direction, image, step, np.ones(8, np.float32))
        limit = np.maximum(energy * tolerance**2, 1e-30)
        for _ in range(most_steps):
            if (energy <= limit).all():
                break
            _turn(residual, direction, share, scale, scaled)
            length[:] = _apply(starts, columns, weights, scale, direction, scaled, image)
            for c in range(8):
                step[c] = energy[c] / length[c] if energy[c] > limit[c] and length[c] > 0 else 0.0
            before[:] = energy
            energy[:] = _advance(x, residual, direction, image, step, step)
            for c in range(8):
                share[c] = energy[c] / max(before[c], 1e-30)


@njit(**VECTORS)
def _apply(starts, columns, weights, scale, x, scaled, out):
    """``out = (1 - diag(scale) W diag(scale)) x`` of eight columns, where ``scaled = scale * x``; x . out."""
    length = _eight(0.0)
    for row in range(np.uintp(len(out))):  # unsigned: numba then does not look for indices below zero
        total = _eight(np.float32(0))
        for entry in range(np.uintp(starts[row]), np.uintp(starts[row + np.uintp(1)])):
            total = _plus(total, _eight(weights[entry]), _row(scaled, np.uintp(columns[entry])))
        own = _row(x, row)
        found = _minus(own, _row(scale, row), total)
        _put(out, row, found)
        length = _plus(length, own, found)
    return length


@njit(**VECTORS)
def _advance(x, residual, direction, image, step, back):
    """``x += step * direction`` and ``residual -= back * image``; the residuals' squared lengths after it."""
    energy = _eight(0.0)
    forward, backward = _tuple(step), _tuple(back)
    for row in range(np.uintp(len(x))):
        _put(x, row, _plus(_row(x, row), forward, _row(direction, row)))
        left = _minus(_row(residual, row), backward, _row(image, row))
        _put(residual, row, left)
        energy = _plus(energy, left, left)
    return energy


@njit(**VECTORS)
def _turn(residual, direction, share, scale, scaled):
    """``direction = residual + share * direction`` and ``scaled = scale * direction``."""
    shares, nothing = _tuple(share), _eight(np.float32(0))
    for row in range(np.uintp(len(direction))):
        turned = _plus(_row(residual, row), shares, _row(direction, row))
        _put(direction, row, turned)
        _put(scaled, row, _plus(nothing, _row(scale, row), turned))


@njit(**VECTORS)
def _row(a, row):
    return (
        a[row, 0],
        a[row, 1],
        a[row, 2],
        a[row, 3],
        a[row, 4],
        a[row, 5],
        a[row, 6],
        a[row, 7],
    )


@njit(**VECTORS)
def _tuple(a):
    return a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]


@njit(**VECTORS)
def _eight(value):
    return value, value, value, value, value, value, value, value


@njit(**VECTORS)
def _put(a, row, v):
    a[row, 0], a[row, 1], a[row, 2], a[row, 3] = v[0], v[1], v[2], v[3]
    a[row, 4], a[row, 5], a[row, 6], a[row, 7] = v[4], v[5], v[6], v[7]


@njit(**VECTORS)
def _plus(a, b, c):
    """``a + b * c``."""
    return (
        a[0] + b[0] * c[0],
        a[1] + b[1] * c[1],
        a[2] + b[2] * c[2],
        a[3] + b[3] * c[3],
        a[4] + b[4] * c[4],
        a[5] + b[5] * c[5],
        a[6] + b[6] * c[6],
        a[7] + b[7] * c[7],
    )


@njit(**VECTORS)
def _minus(a, b, c):
    """``a - b * c``."""
    return (
        a[0] - b[0] * c[0],
        a[1] - b[1] * c[1],
        a[2] - b[2] * c[2],
        a[3] - b[3] * c[3],
        a[4] - b[4] * c[4],
        a[5] - b[5] * c[5],
        a[6] - b[6] * c[6],
        a[7] - b[7] * c[7],
    )
