"""numba kernel of the k nearest points, imported on the first CPU call; blocks as in ``point_kernels``.

A candidate is one 64-bit key: the bits of its squared distance in float32, which order as the number does,
and below them its index. Keys are distinct, and the k least are the result, ties included.
"""

from __future__ import annotations

import numpy as np

from dense3d.ops.point_kernels import BLOCK, GROUP, NONE, fast, jit, near_blocks

SORTED_BLOCKS = 128  # up to so many are visited in the order of their distance
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


@jit()
def select(keys, count, k):
    """Move the k least of ``keys[:count]`` to the front, in any order."""
    low, high = 0, count - 1
    while low < high:
        pivot = keys[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            return


@jit()
def sort_few(keys, count):
    """Ascending, by insertion where that is quicker."""
    if count > 64:
        keys[:count].sort()
        return
    for i in range(1, count):
        key = keys[i]
        j = i - 1
        while j >= 0 and keys[j] > key:
            keys[j + 1] = keys[j]
            j -= 1
        keys[j + 1] = key


@jit(forceinline=True)
def _largest_distance(keys, k):
    """Of the first k keys."""
    largest = keys[0]
    for i in range(1, k):
        largest = max(largest, keys[i])
    return np.uint32(largest >> HALF).view(np.float32)


@fast()
def _block_distances(block, x, y, z, distances):
    for i in range(BLOCK):
        dx, dy, dz = x - block[0, i], y - block[1, i], z - block[2, i]
        distances[i] = dx * dx + dy * dy + dz * dz


@jit()
def _append(distances, index, limit, keys, count):
    """Add the keys of a block's points within ``limit``; how many keys there are then."""
    for i in range(BLOCK):
        keys[count] = np.uint64(np.float32(distances[i]).view(np.uint32)) << HALF | np.uint64(index[i])
        count += distances[i] <= limit and index[i] != NONE
    return count


@jit()
def _sort_by_gap(near, gaps, count):
    """The nearest block first."""
    for i in range(1, count):
        block, gap = near[i], gaps[i]
        j = i - 1
        while j >= 0 and gaps[j] > gap:
            near[j + 1], gaps[j + 1] = near[j], gaps[j]
            j -= 1
        near[j + 1], gaps[j + 1] = block, gap


@jit()
def collect(blocks, index, near, gaps, count, x, y, z, k, limit, keys, distances):
    """The k least keys of the blocks ``near[:count]`` within ``limit``, to the front of ``keys``; how many.

    Whenever there are more than k, those beyond the k-th are dropped and lower the limit.
    """
    found, full = 0, k
    for n in range(count):
        if gaps[n] > limit:
            continue
        _block_distances(blocks[near[n]], x, y, z, distances)
        found = _append(distances, index[near[n]], limit, keys, found)
        if found >= full:
            select(keys, found, k)
            found, full, limit = k, k + BLOCK, min(limit, _largest_distance(keys, k))
    if found > k:
        select(keys, found, k)
    return min(found, k)


@jit()
def nearest_k(first, last, queries, query_order, lengths, table, per_cloud, found, squared):
    """k nearest points: queries (B, M, 3) -> found, squared (B, M, k).

    ``table`` is what ``make_blocks`` fills. Tasks are ``per_cloud`` parts of each cloud's queries, taken in
    ``query_order`` (B, M): the ball around the last query that held k points bounds the search for the next.
    Where it proves too small by rounding, all is searched.
    """
    blocks, index, boxes, hulls = table
    number, k = queries.shape[1], found.shape[2]
    keys, distances = np.empty(k + 3 * BLOCK, np.uint64), np.empty(BLOCK, np.float32)
    near, gaps = np.empty(blocks.shape[1] + 1, np.int32), np.empty(blocks.shape[1] + 1, np.float32)
    scratch = np.empty(hulls.shape[2], np.float32), np.empty(GROUP, np.float32)
    for task in range(first, last):
        cloud, part = task // per_cloud, task % per_cloud
        used = (lengths[cloud] + BLOCK - 1) // BLOCK
        limit = np.float32(np.inf)
        x = y = z = np.float32(0)
        for place in range(number * part // per_cloud, number * (part + 1) // per_cloud):
            q = query_order[cloud, place]
            dx, dy, dz = queries[cloud, q, 0] - x, queries[cloud, q, 1] - y, queries[cloud, q, 2] - z
            x, y, z = queries[cloud, q, 0], queries[cloud, q, 1], queries[cloud, q, 2]
            reach = np.sqrt(limit) + np.sqrt(dx * dx + dy * dy + dz * dz)
            limit = reach * reach * np.float32(1.0001)
            while True:
                some = near_blocks(boxes[cloud], hulls[cloud], used, x, y, z, limit, scratch, near, gaps)
                if some <= SORTED_BLOCKS:
                    _sort_by_gap(near, gaps, some)
                count = collect(
                    blocks[cloud], index[cloud], near, gaps, some, x, y, z, k, limit, keys, distances
                )
                if count == k:
                    break
                limit = np.float32(np.inf)
            sort_few(keys, k)
            for i in range(k):
                found[cloud, q, i] = np.int64(keys[i] & LOW)
                squared[cloud, q, i] = np.uint32(keys[i] >> HALF).view(np.float32)
            limit = squared[cloud, q, k - 1]
