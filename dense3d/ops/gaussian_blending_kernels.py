"""numba kernels that blend projected Gaussians, tile by tile; imported on the first CPU call.

A tile is ``TILE`` x ``TILE`` pixels. A row of a tile is one or a few vectors of the processor, so all that is
done for a pixel stands in loops over ``TILE`` places without branches. What loops read and write lies in one
array, in fields of ``TILE`` places, as LLVM would otherwise ask at run time whether arrays overlap.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from dense3d.compiled import njit
from dense3d.ops.gaussian_tile_kernels import TILE, tile_place

FAST = {"nnan", "nsz", "reassoc", "contract"}
LOG2E = np.float32(1 / math.log(2))
POWERS = tuple(np.float32(math.log(2) ** k / math.factorial(k)) for k in range(8))
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)

# Fields of a row of pixels, forward: the light that is left (0 where it ended, and as it was then), how many
# Gaussians there are, the place of the last, the weights of the present one; then the channels.
LIGHT, LEFT, COUNT, LAST, WEIGHT, CHANNELS = (field * TILE for field in range(6))
# Backward: the light before a Gaussian, what is seen behind it, the gradient by the log of its alpha ...
BEHIND, DOT, SLOPE = LEFT, CHANNELS, COUNT
GRADIENTS = CHANNELS + TILE  # ... by the channels of the picture
# Sums over the rows of a tile: of the slopes, times dy, times dy^2, and of gradients by the channels.
SUM, SUM_Y, SUM_YY, SUM_CHANNELS = (field * TILE for field in range(4))


def fast(**options):
    """``njit`` that releases the GIL and may reorder sums and take numbers to be finite."""
    return njit(nogil=True, error_model="numpy", fastmath=FAST, **options)


def exp_minus(q):
    """``exp(-q)`` for q of 0 .. 80."""
    return math.exp(-q)


@overload(exp_minus, inline="always")
def _exp_minus(q):
    if q != types.float32:
        return lambda q: math.exp(-q)

    def by_bits(q):  # 2^n by its bits, times the series of 2^f for -0.5 <= f <= 0.5
        power = -q * LOG2E
        whole = np.floor(power + HALF)
        f = power - whole
        high = ((POWERS[7] * f + POWERS[6]) * f + POWERS[5]) * f + POWERS[4]
        series = (((high * f + POWERS[3]) * f + POWERS[2]) * f + POWERS[1]) * f + POWERS[0]
        return series * np.int32((np.int32(whole) + 127) << 23).view(np.float32)

    return by_bits


@fast(forceinline=True)
def _row_terms(row, mean_x, y):
    """``q = (a dx + b) dx + c`` on a row of pixels, and whether alpha may reach 1/255 anywhere on it."""
    dy = row[1] - np.float32(y) - HALF
    a, b, c = HALF * row[2], row[3] * dy, HALF * row[4] * dy * dy
    dx = ZERO - b / row[2]  # where q is least, or the end of the row that is nearer to it
    dx = dx if dx < mean_x else mean_x
    dx = dx if dx > mean_x - np.float32(TILE - 1) else mean_x - np.float32(TILE - 1)
    return a, b, c, dy, (a * dx + b) * dx + c <= row[6]


@fast(forceinline=True)
def _blend_row(s, mean_x, first, end, a, b, c, opacity, rules, place):
    """One Gaussian on a row of pixels: the sums of its weights and of the light that is left."""
    alpha_min, alpha_max, stop, farthest = rules
    total, light = ZERO, ZERO
    for x in range(TILE):
        before, left, count, last = s[x + LIGHT], s[x + LEFT], s[x + COUNT], s[x + LAST]
        dx = mean_x - np.float32(x)
        q = (a * dx + b) * dx + c
        q = q if q < farthest else farthest
        alpha = opacity * exp_minus(q)
        alpha = alpha if alpha < alpha_max else alpha_max
        inside = (np.float32(x) >= first) & (np.float32(x) < end)
        counts = (alpha >= alpha_min) & (q >= ZERO) & inside
        after = before * (ONE - alpha)
        used = counts & (after > stop)
        weight = alpha * before if used else ZERO
        ended = ZERO if counts else before
        after_it = after if used else ended
        s[x + WEIGHT] = weight
        s[x + LIGHT] = after_it
        s[x + LEFT] = after if used else left
        s[x + COUNT] = count + (ONE if used else ZERO)
        s[x + LAST] = place if used else last
        total += weight
        light += after_it
    return total, light


@fast()
def forward(first, last, tiles, gaussians, rules, colors, backgrounds, pictures):
    """Blend tiles ``first .. last - 1`` of all cameras.

    Args:
        tiles: ``(starts, lists, size)`` of :mod:`dense3d.ops.gaussian_tile_kernels`.
        gaussians: ``(rows, boxes, pair_starts)``, there, too.
        rules: least and largest alpha, the light at which it ends, the largest exponent.
        colors: (C N, D).
        backgrounds: (C, D).
        pictures: written: images (C, H, W, D), the light left (C, H, W), counts and, for the way back, places
            of the last Gaussian (C, H, W) int32.
    """
    starts, lists, size = tiles
    width, height, columns, rows_of_tiles = size
    rows, boxes, _ = gaussians
    images, lights, counts, lasts = pictures
    channels = colors.shape[1]
    state = np.empty((TILE, CHANNELS + channels * TILE), images.dtype)
    alive = np.empty(TILE, np.bool_)
    for tile in range(first, last):
        camera, top, left = tile_place(tile, columns, rows_of_tiles)
        bottom, right = min(TILE, height - top), min(TILE, width - left)
        state[:] = 0
        state[:bottom, LIGHT : LIGHT + right] = 1
        state[:, LEFT : LEFT + TILE] = 1
        alive[:] = False
        alive[:bottom] = True
        rest = bottom
        for pair in range(starts[tile], starts[tile + 1]):
            if rest == 0:
                break
            gaussian = lists[pair]
            row, box = rows[gaussian], boxes[gaussian]
            mean_x = row[0] - np.float32(left) - HALF
            begin, end = np.float32(box[0] - left), np.float32(box[2] - left)
            place = np.float32(pair - starts[tile] + 1)
            for y in range(max(box[1] - top, 0), min(box[3] - top, bottom)):
                if not alive[y]:
                    continue
                a, b, c, _, touched = _row_terms(row, mean_x, top + y)
                if not touched:
                    continue
                s = state[y]
                total, light = _blend_row(s, mean_x, begin, end, a, b, c, row[5], rules, place)
                if light == 0:
                    alive[y] = False
                    rest -= 1
                if total > 0:
                    for channel in range(channels):
                        color, at = colors[gaussian, channel], CHANNELS + channel * TILE
                        for x in range(TILE):
                            s[at + x] += s[x + WEIGHT] * color
        for y in range(bottom):
            for x in range(right):
                light = state[y, x + LEFT]
                lights[camera, top + y, left + x] = light
                counts[camera, top + y, left + x] = np.int32(state[y, x + COUNT])
                lasts[camera, top + y, left + x] = np.int32(state[y, x + LAST])
                for channel in range(channels):
                    value = state[y, CHANNELS + channel * TILE + x]
                    images[camera, top + y, left + x, channel] = value + light * backgrounds[camera, channel]


@fast(forceinline=True)
def _slopes_of_row(s, sums, mean_x, first, end, a, b, c, dy, opacity, rules, place):
    """Undo one Gaussian on a row: weights, and sums of the gradient by the logarithm of its alpha."""
    alpha_min, alpha_max, _, farthest = rules
    for x in range(TILE):
        after, behind, last, dot = s[x + LIGHT], s[x + BEHIND], s[x + LAST], s[x + DOT]
        dx = mean_x - np.float32(x)
        q = (a * dx + b) * dx + c
        q = q if q < farthest else farthest
        free = opacity * exp_minus(q)
        alpha = free if free < alpha_max else alpha_max
        inside = (np.float32(x) >= first) & (np.float32(x) < end)
        used = (alpha >= alpha_min) & (q >= ZERO) & inside & (place <= last)
        rest = ONE / (ONE - alpha)
        before = after * rest
        weight = alpha * before
        slope = (before * dot - behind * rest) * free
        slope = slope if free <= alpha_max else ZERO
        s[x + WEIGHT] = weight if used else ZERO
        s[x + SLOPE] = slope if used else ZERO
        s[x + LIGHT] = before if used else after
        s[x + BEHIND] = behind + weight * dot if used else behind
    for x in range(TILE):
        slope = s[x + SLOPE]
        sums[x + SUM] += slope
        sums[x + SUM_Y] += slope * dy
        sums[x + SUM_YY] += slope * dy * dy


@fast(forceinline=True)
def _sum_up(sums, row, mean_x, channels, gradient):
    """Sums over rows to the gradient of a pair: by the row of parameters, then by the channels."""
    zero, plain, x1, x2, y1, y2, xy = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    for x in range(TILE):
        dx = mean_x - np.float32(x)
        slope, slope_y = sums[x + SUM], sums[x + SUM_Y]
        plain += slope
        x1 += slope * dx
        x2 += slope * dx * dx
        y1 += slope_y
        xy += slope_y * dx
        y2 += sums[x + SUM_YY]
    gradient[0] = zero - (row[2] * x1 + row[3] * y1)
    gradient[1] = zero - (row[4] * y1 + row[3] * x1)
    gradient[2] = zero - HALF * x2
    gradient[3] = zero - xy
    gradient[4] = zero - HALF * y2
    gradient[5] = plain / row[5]
    for channel in range(channels):
        total, at = ZERO, SUM_CHANNELS + channel * TILE
        for x in range(TILE):
            total += sums[at + x]
        gradient[6 + channel] = total


@fast()
def backward(first, last, tiles, gaussians, rules, colors, results, grads, pair_grads):
    """Gradients of each pair of a tile and a Gaussian: pair_grads (P, 6 + D), zeros beforehand.

    Args:
        results: light left and places of the last Gaussian, as :func:`forward` wrote them.
        grads: by images (C, H, W, D), and by the light left, with that through the background (C, H, W).
    """
    starts, lists, size = tiles
    width, height, columns, rows_of_tiles = size
    rows, boxes, pair_starts = gaussians
    lights, lasts = results
    grad_images, grad_lights = grads
    channels = colors.shape[1]
    state = np.empty((TILE, GRADIENTS + channels * TILE), rows.dtype)
    sums = np.empty(SUM_CHANNELS + channels * TILE, rows.dtype)
    row_lasts = np.empty(TILE, np.int64)
    for tile in range(first, last):
        camera, top, left = tile_place(tile, columns, rows_of_tiles)
        bottom, right = min(TILE, height - top), min(TILE, width - left)
        state[:] = 0
        farthest_back = 0
        for y in range(bottom):
            row_lasts[y] = 0
            for x in range(right):
                light, place = lights[camera, top + y, left + x], lasts[camera, top + y, left + x]
                state[y, x + LIGHT] = light
                state[y, x + BEHIND] = light * grad_lights[camera, top + y, left + x]
                state[y, x + LAST] = place
                row_lasts[y] = max(row_lasts[y], place)
                for channel in range(channels):
                    gradient = grad_images[camera, top + y, left + x, channel]
                    state[y, GRADIENTS + channel * TILE + x] = gradient
            farthest_back = max(farthest_back, row_lasts[y])
        for place in range(farthest_back, 0, -1):
            gaussian = lists[starts[tile] + place - 1]
            row, box = rows[gaussian], boxes[gaussian]
            mean_x = row[0] - np.float32(left) - HALF
            begin, end = np.float32(box[0] - left), np.float32(box[2] - left)
            sums[:] = 0
            any_row = False
            for y in range(max(box[1] - top, 0), min(box[3] - top, bottom)):
                if place > row_lasts[y]:
                    continue
                a, b, c, dy, touched = _row_terms(row, mean_x, top + y)
                if not touched:
                    continue
                any_row = True
                s = state[y]
                for x in range(TILE):
                    s[x + DOT] = 0
                for channel in range(channels):
                    color, at = colors[gaussian, channel], GRADIENTS + channel * TILE
                    for x in range(TILE):
                        s[x + DOT] += s[at + x] * color
                _slopes_of_row(s, sums, mean_x, begin, end, a, b, c, dy, row[5], rules, np.float32(place))
                for channel in range(channels):
                    at, to = GRADIENTS + channel * TILE, SUM_CHANNELS + channel * TILE
                    for x in range(TILE):
                        sums[to + x] += s[x + WEIGHT] * s[at + x]
            if any_row:
                pair = pair_starts[gaussian] + (top // TILE - box[1] // TILE) * (
                    (box[2] - 1) // TILE - box[0] // TILE + 1
                )
                _sum_up(sums, row, mean_x, channels, pair_grads[pair + left // TILE - box[0] // TILE])


@fast()
def add_pairs(first, last, pair_starts, pair_grads, means2d, conics, opacities, colors):
    """Gradients of Gaussians ``first .. last - 1``, of all cameras: the sums over their pairs."""
    channels = colors.shape[1]
    total = np.empty(6 + channels)
    for gaussian in range(first, last):
        total[:] = 0
        for pair in range(pair_starts[gaussian], pair_starts[gaussian + 1]):
            for part in range(6 + channels):
                total[part] += pair_grads[pair, part]
        means2d[gaussian, 0], means2d[gaussian, 1] = total[0], total[1]
        conics[gaussian, 0], conics[gaussian, 1], conics[gaussian, 2] = total[2], total[3], total[4]
        opacities[gaussian] = total[5]
        for channel in range(channels):
            colors[gaussian, channel] = total[6 + channel]
