"""numba kernels on clouds of points, imported on the first CPU call (numba imports slowly).

Points are sorted along a Morton curve into blocks of ``BLOCK`` with a bounding box each. The distance of a
place to a box, computed in the order in which distances to points are, is never above that to a point of the
box, rounding included: differences, squares and sums all round monotonically. So a block is left out only
where none of its points can count, and results equal those of the references in every index.

``fast`` may use that nothing is NaN and that zeros have no sign; it reorders no sum.
"""

from __future__ import annotations

import numpy as np

from dense3d.compiled import njit

BLOCK = 32  # points
GROUP = 16  # blocks
NONE = np.int32(2**31 - 1)


def jit(**options):
    """``njit`` that releases the GIL."""
    return njit(nogil=True, error_model="numpy", **options)


def fast(**options):
    """:func:`jit` for loops over finite numbers, which LLVM can then reduce in vectors."""
    return jit(fastmath={"nnan", "nsz"}, **options)


@jit(forceinline=True)
def _spread(value):
    """The ten low bits, each to every third place."""
    value = (value | value << 16) & 0x30000FF
    value = (value | value << 8) & 0x300F00F
    value = (value | value << 4) & 0x30C30C3
    return (value | value << 2) & 0x9249249


@jit()
def morton_sort(points, members, count, bits, codes, starts, order):
    """Sort ``members[:count]`` of points (N, 3) into ``order`` along a Morton curve of 2^bits cells an axis.

    Within a cell the order of ``members`` stays. ``codes`` (N,) and ``starts`` (8^bits + 1,) are scratch.
    """
    low_x = low_y = low_z = np.inf
    high_x = high_y = high_z = -np.inf
    for i in range(count):
        x, y, z = (
            float(points[members[i], 0]),
            float(points[members[i], 1]),
            float(points[members[i], 2]),
        )
        low_x, low_y, low_z = min(low_x, x), min(low_y, y), min(low_z, z)
        high_x, high_y, high_z = max(high_x, x), max(high_y, y), max(high_z, z)
    cells = 1 << bits
    extent = max(high_x - low_x, high_y - low_y, high_z - low_z)
    scale = cells / extent if extent > 0 else 0.0
    starts[:] = 0
    for i in range(count):
        ix = min(int((points[members[i], 0] - low_x) * scale), cells - 1)
        iy = min(int((points[members[i], 1] - low_y) * scale), cells - 1)
        iz = min(int((points[members[i], 2] - low_z) * scale), cells - 1)
        code = _spread(ix) << 2 | _spread(iy) << 1 | _spread(iz)
        codes[i] = code
        starts[code + 1] += 1
    for cell in range(1, len(starts)):
        starts[cell] += starts[cell - 1]
    for i in range(count):
        place = starts[codes[i]]
        starts[codes[i]] = place + 1
        order[place] = members[i]


@jit()
def fill_blocks(points, order, count, blocks, index, boxes):
    """Copy ``order[:count]`` of points (N, 3) into blocks (n, R, BLOCK), the first three rows of each.

    Args:
        index: (n, BLOCK) int32, filled with indices of points; ``NONE`` beyond the last, where the last
            point is repeated.
        boxes: (ceil(n / GROUP), 6, GROUP), filled with the least and the largest x, y and z of each block.
    """
    for b in range((count + BLOCK - 1) // BLOCK):
        for axis in range(3):
            low = high = points[order[b * BLOCK], axis]
            for i in range(BLOCK):
                place = b * BLOCK + i
                value = points[order[min(place, count - 1)], axis]
                blocks[b, axis, i] = value
                low, high = min(low, value), max(high, value)
                index[b, i] = order[place] if place < count else NONE
            boxes[b // GROUP, axis, b % GROUP], boxes[b // GROUP, axis + 3, b % GROUP] = low, high


@fast()
def box_distances(boxes, count, x, y, z, out):
    """Squared distances of a place to the first ``count`` of boxes (6, n), 0 inside."""
    zero = x - x
    for b in range(count):
        dx = max(max(boxes[0, b] - x, x - boxes[3, b]), zero)
        dy = max(max(boxes[1, b] - y, y - boxes[4, b]), zero)
        dz = max(max(boxes[2, b] - z, z - boxes[5, b]), zero)
        out[b] = dx * dx + dy * dy + dz * dz


@fast(forceinline=True)
def _lower_minima(block, x, y, z):
    """Running minima, the fourth row of a block, against a new place; their maximum."""
    for i in range(BLOCK):
        dx, dy, dz = block[0, i] - x, block[1, i] - y, block[2, i] - z
        distance = dx * dx + dy * dy + dz * dz
        block[3, i] = distance if distance < block[3, i] else block[3, i]
    a, b, c, d = block[3, 0], block[3, 1], block[3, 2], block[3, 3]
    for i in range(4, BLOCK, 4):  # four chains, as each step waits for the one before
        a, b = max(a, block[3, i]), max(b, block[3, i + 1])
        c, d = max(c, block[3, i + 2]), max(d, block[3, i + 3])
    return max(max(a, b), max(c, d))


@jit()
def _candidates(points, count, skipped, members):
    """Indices of the first ``count`` points whose squared norm is above ``skipped``; how many they are."""
    found = 0
    for i in range(count):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        if x * x + y * y + z * z > skipped:
            members[found] = i
            found += 1
    return found


@jit()
def farthest_points(first, last, points, lengths, starts, skipped, limit, bits, chosen):
    """points (B, N, 3) -> chosen (B, S), of clouds ``first .. last - 1``.

    ``skipped`` is the squared norm up to which points do not count (below 0: all do), ``limit`` (of the dtype
    of points) the first value of the running minima.
    """
    number, most = points.shape[1], (points.shape[1] + BLOCK - 1) // BLOCK
    members, order = np.empty(number, np.int32), np.empty(number, np.int32)
    codes, cells = np.empty(number, np.int32), np.empty((1 << 3 * bits) + 1, np.int32)
    blocks = np.empty((most, 4, BLOCK), points.dtype)
    index, groups = np.empty((most, BLOCK), np.int32), (most + GROUP - 1) // GROUP
    boxes, gaps = np.empty((groups, 6, GROUP), points.dtype), np.empty((groups, GROUP), points.dtype)
    largest = np.empty(most, points.dtype)
    for cloud in range(first, last):
        count = _candidates(points[cloud], lengths[cloud], skipped, members)
        latest = starts[cloud]
        chosen[cloud, 0] = latest
        if count == 0:
            chosen[cloud, 1:] = 0
            continue
        morton_sort(points[cloud], members, count, bits, codes, cells, order)
        fill_blocks(points[cloud], order, count, blocks, index, boxes)
        used = (count + BLOCK - 1) // BLOCK
        blocks[:used, 3] = limit
        for i in range(count - (used - 1) * BLOCK, BLOCK):
            blocks[used - 1, 3, i] = -1  # padding is never the farthest
        largest[:used] = limit
        for sample in range(1, chosen.shape[1]):
            x, y, z = points[cloud, latest, 0], points[cloud, latest, 1], points[cloud, latest, 2]
            latest = _next_farthest(blocks, index, boxes, used, x, y, z, gaps, largest)
            chosen[cloud, sample] = latest


@fast()
def _next_farthest(blocks, index, boxes, used, x, y, z, gaps, largest):
    """Lower the running minima by a new place; the lowest index among the largest of them."""
    for g in range((used + GROUP - 1) // GROUP):
        box_distances(boxes[g], GROUP, x, y, z, gaps[g])
    farthest = x - x - 1
    for b in range(used):
        if gaps[b // GROUP, b % GROUP] < largest[b]:
            largest[b] = _lower_minima(blocks[b], x, y, z)
        farthest = largest[b] if largest[b] > farthest else farthest
    lowest = NONE
    for b in range(used):
        if largest[b] == farthest:
            for i in range(BLOCK):
                if blocks[b, 3, i] == farthest and index[b, i] < lowest:
                    lowest = index[b, i]
    return lowest


@jit()
def make_blocks(first, last, points, lengths, bits, blocks, index, boxes, hulls):
    """Blocks (B, n, 3, BLOCK), index (B, n, BLOCK), boxes (B, g, 6, GROUP) and hulls of groups (B, 6, g).

    With 0 bits points stay in their order.
    """
    number = points.shape[1]
    members, order = np.arange(number).astype(np.int32), np.arange(number).astype(np.int32)
    codes, cells = np.empty(number, np.int32), np.empty((1 << 3 * bits) + 1, np.int32)
    for cloud in range(first, last):
        if bits and lengths[cloud]:
            morton_sort(points[cloud], members, lengths[cloud], bits, codes, cells, order)
        fill_blocks(points[cloud], order, lengths[cloud], blocks[cloud], index[cloud], boxes[cloud])
        used = (lengths[cloud] + BLOCK - 1) // BLOCK
        for g in range((used + GROUP - 1) // GROUP):
            filled = min(GROUP, used - g * GROUP)
            for axis in range(3):
                hulls[cloud, axis, g] = boxes[cloud, g, axis, :filled].min()
                hulls[cloud, axis + 3, g] = boxes[cloud, g, axis + 3, :filled].max()


@jit()
def near_blocks(boxes, hulls, used, x, y, z, limit, scratch, near, gaps):
    """Blocks whose boxes are within ``limit`` of a place, in ``near``, and how far, in ``gaps``; how many."""
    of_hulls, of_boxes = scratch
    groups = (used + GROUP - 1) // GROUP
    box_distances(hulls, groups, x, y, z, of_hulls)
    found = 0
    for g in range(groups):
        if of_hulls[g] <= limit:
            box_distances(boxes[g], GROUP, x, y, z, of_boxes)
            for i in range(min(GROUP, used - g * GROUP)):
                near[found] = g * GROUP + i
                gaps[found] = of_boxes[i]
                found += of_boxes[i] <= limit
    return found


@jit()
def query_orders(first, last, queries, lengths, bits, order):
    """Queries (B, M, 3) along a Morton curve: order (B, M), of each cloud's first ``lengths``."""
    number = queries.shape[1]
    members = np.arange(number).astype(np.int32)
    codes, cells = np.empty(number, np.int32), np.empty((1 << 3 * bits) + 1, np.int32)
    for cloud in range(first, last):
        if lengths[cloud]:
            morton_sort(queries[cloud], members, lengths[cloud], bits, codes, cells, order[cloud])


@fast(forceinline=True)
def _nearest_in_block(block, index, x, y, z, distances):
    """Least squared distance of a place to a block, and the lowest index that has it."""
    for i in range(BLOCK):
        dx, dy, dz = x - block[0, i], y - block[1, i], z - block[2, i]
        distances[i] = dx * dx + dy * dy + dz * dz
    a, b, c, d = distances[0], distances[1], distances[2], distances[3]
    for i in range(4, BLOCK, 4):  # four chains, as each step waits for the one before
        a, b = min(a, distances[i]), min(b, distances[i + 1])
        c, d = min(c, distances[i + 2]), min(d, distances[i + 3])
    least = min(min(a, b), min(c, d))
    lowest = NONE
    for i in range(BLOCK):
        candidate = index[i] if distances[i] == least else NONE
        lowest = candidate if candidate < lowest else lowest
    return least, lowest


@jit()
def nearest(first, last, queries, query_order, query_lengths, lengths, table, found):
    """Index of the nearest point of each query: queries (B, M, 3) -> found (B, M).

    ``table`` is what :func:`make_blocks` fills. Queries that follow each other in ``query_order`` (B, M) tend
    to have the nearest point in the same block, which is tried first.
    """
    blocks, index, boxes, hulls = table
    distances = np.empty(BLOCK, blocks.dtype)
    scratch = np.empty(hulls.shape[2], blocks.dtype), np.empty(GROUP, blocks.dtype)
    near, gaps = np.empty(blocks.shape[1] + 1, np.int32), np.empty(blocks.shape[1] + 1, blocks.dtype)
    for cloud in range(first, last):
        used = (lengths[cloud] + BLOCK - 1) // BLOCK
        best_block = 0
        for place in range(query_lengths[cloud]):
            q = query_order[cloud, place]
            x, y, z = queries[cloud, q, 0], queries[cloud, q, 1], queries[cloud, q, 2]
            least, best = _nearest_in_block(
                blocks[cloud, best_block], index[cloud, best_block], x, y, z, distances
            )
            if used > 1:
                count = near_blocks(boxes[cloud], hulls[cloud], used, x, y, z, least, scratch, near, gaps)
                tried = best_block
                for n in range(count):
                    b = near[n]
                    if gaps[n] <= least and b != tried:
                        distance, lowest = _nearest_in_block(
                            blocks[cloud, b], index[cloud, b], x, y, z, distances
                        )
                        if distance < least:
                            best_block = b
                        if distance < least or (distance == least and lowest < best):
                            least, best = distance, lowest
            found[cloud, q] = best


@jit()
def balls(first, last, queries, points, lengths, squared_radius, per_cloud, found):
    """First points within a radius: queries (B, M, 3), points (B, 3, N) -> found (B, M, k).

    Tasks are ``per_cloud`` parts of each cloud's queries; ``found`` holds zeros.
    """
    places, inside = found.shape[2], np.empty(BLOCK, np.bool_)
    for task in range(first, last):
        cloud, part = task // per_cloud, task % per_cloud
        number = queries.shape[1]
        for q in range(number * part // per_cloud, number * (part + 1) // per_cloud):
            hits = _hits(
                points[cloud], lengths[cloud], queries[cloud, q], squared_radius, inside, found[cloud, q]
            )
            if hits:
                for place in range(hits, places):
                    found[cloud, q, place] = found[cloud, q, 0]


@fast()
def _hits(points, count, query, squared_radius, inside, found):
    """Fill ``found`` with the first hits of one query; how many they are."""
    x, y, z = query[0], query[1], query[2]
    hits, places, start = 0, len(found), 0
    while start + BLOCK <= points.shape[1] and start < count and hits < places:
        some = 0
        for i in range(BLOCK):
            dx, dy, dz = x - points[0, start + i], y - points[1, start + i], z - points[2, start + i]
            inside[i] = dx * dx + dy * dy + dz * dz < squared_radius
            some += inside[i]
        if some:
            for i in range(min(BLOCK, count - start)):
                if inside[i] and hits < places:
                    found[hits] = start + i
                    hits += 1
        start += BLOCK
    return hits


@jit()
def hilbert_codes(first, last, coordinates, bits, codes):
    """Skilling's exchanges and inversions for voxels ``first .. last - 1`` of coordinates (N, 3)."""
    for row in range(first, last):
        x, y, z = coordinates[row, 0], coordinates[row, 1], coordinates[row, 2]
        for bit in range(bits - 1, -1, -1):
            below = (1 << bit) - 1
            x ^= below & -(x >> bit & 1)
            is_set = -(y >> bit & 1)  # all bits, or none
            differing = (x ^ y) & below & ~is_set
            y ^= differing
            x ^= differing | (below & is_set)
            is_set = -(z >> bit & 1)
            differing = (x ^ z) & below & ~is_set
            z ^= differing
            x ^= differing | (below & is_set)
        code = 0
        for bit in range(bits - 1, -1, -1):
            code = code << 3 | (x >> bit & 1) << 2 | (y >> bit & 1) << 1 | (z >> bit & 1)
        for shift in (1, 2, 4, 8, 16, 32):
            code ^= code >> shift
        codes[row] = code


@jit()
def shifted_keys(first, last, keys, order, shifts, part, found):
    """Voxels at ``keys + shift`` for each shift, by going along both sorted lists.

    Tasks are parts of ``part`` keys (V,) ascending; found (V, K), in the unsorted order.
    """
    for task in range(first, last):
        begin, end = task * part, min((task + 1) * part, len(keys))
        for k in range(len(shifts)):
            place = np.searchsorted(keys, keys[begin] + shifts[k])
            for i in range(begin, end):
                wanted = keys[i] + shifts[k]
                while place < len(keys) and keys[place] < wanted:
                    place += 1
                if place < len(keys) and keys[place] == wanted:
                    found[order[i], k] = order[place]
                else:
                    found[order[i], k] = -1
