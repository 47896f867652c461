"""numba kernels that list the Gaussians of each tile, front to back; imported on the first CPU call.

Gaussians of all cameras are numbered through, camera by camera, and so are tiles. What a Gaussian may touch
is its box of pixels: x0, y0, x1, y1, of which x1 and y1 are the first beyond it; x0 = x1 where there is none.
Each pair of a Gaussian and a tile has a place among those of the Gaussian, row of tiles by row: its gradients
are written there and added up afterwards, so that results do not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np

from dense3d.compiled import njit

TILE = 16  # pixels, whatever the size of tiles that boxes are widened to
ROW = 8  # mean x, y, conic xx, xy, yy, opacity, largest exponent that counts, nothing


def jit(**options):
    """``njit`` that releases the GIL."""
    return njit(nogil=True, error_model="numpy", **options)


@jit(forceinline=True)
def tile_place(tile, columns, rows):
    """Camera, and the first row and column of pixels, of a tile."""
    camera, rest = tile // (columns * rows), tile % (columns * rows)
    return camera, rest // columns * TILE, rest % columns * TILE


@jit(forceinline=True)
def _span(mean, radius, size, square, widened, half, one):
    """First pixel and the one after the last of a box, along one axis."""
    if square:
        place = mean - half
        low = math.floor((place - radius) / widened) * widened
        high = math.floor((place + radius + widened - one) / widened) * widened
    else:
        low, high = math.floor(mean - radius), math.ceil(mean + radius)
    low, high = min(max(low, 0), size), min(max(high, 0), size)
    return np.int32(low), np.int32(max(high, low))


@jit()
def prepare(first, last, means2d, conics, opacities, radii, options, rows, boxes, num_pairs):
    """Rows of parameters (M, ROW), boxes (M, 4) int32 and numbers of pairs (M + 1,), behind a 0.

    Args:
        means2d, conics, opacities, radii: (M, ...) of the Gaussians of all cameras.
        options: width, height, whether boxes are widened to tiles, the width of those tiles, the least alpha;
            the last two, 1/2 and 1 of the type of the other numbers.
    """
    width, height, square, widened, alpha_min, half, one = options
    for i in range(first, last):
        num_pairs[i + 1] = 0
        boxes[i] = 0
        if radii[i, 0] <= 0 or radii[i, 1] <= 0 or opacities[i] < alpha_min:
            continue
        x0, x1 = _span(means2d[i, 0], radii[i, 0], width, square, widened, half, one)
        y0, y1 = _span(means2d[i, 1], radii[i, 1], height, square, widened, half, one)
        if x0 == x1 or y0 == y1:
            continue
        boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = x0, y0, x1, y1
        num_pairs[i + 1] = ((x1 - 1) // TILE - x0 // TILE + 1) * ((y1 - 1) // TILE - y0 // TILE + 1)
        rows[i, 0], rows[i, 1] = means2d[i, 0], means2d[i, 1]
        rows[i, 2], rows[i, 3], rows[i, 4] = conics[i, 0], conics[i, 1], conics[i, 2]
        rows[i, 5] = opacities[i]
        rows[i, 6] = math.log(opacities[i] / alpha_min) * 1.001 + 1e-3  # rounding must not cut pixels off


@jit()
def count_in_tiles(first, last, order, boxes, columns, rows, counts):
    """Numbers of Gaussians (tiles + 1,), behind a 0, of the rows of tiles ``first .. last - 1``."""
    number = order.shape[1]
    for tile in range(first * columns, last * columns):
        counts[tile + 1] = 0
    for camera in range(first // rows, (last + rows - 1) // rows):
        low, high = max(first - camera * rows, 0), min(last - camera * rows, rows)
        for i in range(camera * number, (camera + 1) * number):
            if boxes[i, 0] == boxes[i, 2]:
                continue
            for y in range(max(boxes[i, 1] // TILE, low), min((boxes[i, 3] - 1) // TILE + 1, high)):
                for x in range(boxes[i, 0] // TILE, (boxes[i, 2] - 1) // TILE + 1):
                    counts[(camera * rows + y) * columns + x + 1] += 1


@jit()
def fill_tiles(first, last, order, boxes, columns, rows, starts, lists):
    """Numbers of Gaussians in each tile, in ``order`` (C, N); rows of tiles ``first .. last - 1``."""
    number = order.shape[1]
    places = starts[first * columns : last * columns].copy()
    for camera in range(first // rows, (last + rows - 1) // rows):
        low, high = max(first - camera * rows, 0), min(last - camera * rows, rows)
        for n in range(number):
            i = camera * number + order[camera, n]
            if boxes[i, 0] == boxes[i, 2]:
                continue
            for y in range(max(boxes[i, 1] // TILE, low), min((boxes[i, 3] - 1) // TILE + 1, high)):
                at = (camera * rows + y - first) * columns
                for x in range(boxes[i, 0] // TILE, (boxes[i, 2] - 1) // TILE + 1):
                    lists[places[at + x]] = i
                    places[at + x] += 1
