"""PNG's row filters undone by loops that numba compiles: a pixel of three bytes is one word.

Where neighbours are equal, as inside segments, the predictors are equal too and nothing has to be computed.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def _added(a, b):
    """Sum of two words of three bytes, each byte modulo 256."""
    low, high = np.uint32(0x7F7F7F), np.uint32(0x808080)
    return ((a & low) + (b & low)) ^ ((a ^ b) & high)


@njit(cache=True)
def _averaged(a, b):
    """Mean of two words of three bytes, each byte rounded down."""
    return (a & b) + (((a ^ b) >> np.uint32(1)) & np.uint32(0x7F7F7F))


@njit(cache=True)
def _byte(word, shift):
    return np.int64(word >> np.uint32(shift)) & 255


@njit(cache=True)
def _paeth(left, above, corner):
    """Of left, above and corner, the nearest to left + above - corner, for each of three bytes."""
    word = np.uint32(0)
    for shift in range(0, 24, 8):
        a, b, c = _byte(left, shift), _byte(above, shift), _byte(corner, shift)
        to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
        value = a if to_a <= to_b and to_a <= to_c else b if to_b <= to_c else c
        word |= np.uint32(value) << np.uint32(shift)
    return word


@njit(cache=True, nogil=True)
def unfilter(filtered, ids):
    """Undo PNG's row filters and join the three bytes of a pixel to an id.

    Args:
        filtered: uint8, for each row the filter's number and the filtered bytes.
        ids: ``(H, W)`` uint32, is filled with R + 256 G + 65536 B.

    Returns:
        0, or -1 for a filter that PNG does not have.
    """
    height, width = ids.shape
    above = np.zeros(width, dtype=np.uint32)
    for y in range(height):
        start = y * (1 + 3 * width)
        kind, row, out = filtered[start], filtered[start + 1 : start + 1 + 3 * width], ids[y]
        if kind > 4:
            return -1
        left, corner = np.uint32(0), np.uint32(0)
        for x in range(width):
            word = (
                np.uint32(row[3 * x])
                | np.uint32(row[3 * x + 1]) << np.uint32(8)
                | np.uint32(row[3 * x + 2]) << np.uint32(16)
            )
            if kind == 1:
                word = _added(word, left)
            elif kind == 2:
                word = _added(word, above[x])
            elif kind == 3:
                word = _added(word, _averaged(left, above[x]))
            elif kind == 4:
                if above[x] == corner:  # as inside segments; the general rule gives the same
                    word = _added(word, left)
                elif left == corner:
                    word = _added(word, above[x])
                else:
                    word = _added(word, _paeth(left, above[x], corner))
                corner = above[x]
            out[x] = left = word
        above = out
    return 0
