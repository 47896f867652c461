"""numba kernel of the k nearest points, imported on the first CPU call; blocks as in ``point_kernels``.

A candidate is one 64-bit key: the bits of its squared distance in float32, which order as the number does,
and below them its index. Keys are distinct, and the k least are the result, ties included.
"""

from __future__ import annotations

import numpy as np

from dense3d.ops.point_kernels import BLOCK, NONE, box_distances, fast, jit

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
def collect(blocks, index, boxes, used, x, y, z, k, limit, hint, keys, gaps, distances):
    """The k least keys within ``limit`` to the front of ``keys``; how many there are, at most k.

    ``hint`` is the block to begin with.
    """
    box_distances(boxes, used, x, y, z, gaps)
    _block_distances(blocks[hint], x, y, z, distances)
    count = _append(distances, index[hint], limit, keys, 0)
    if count >= k:
        select(keys, count, k)
        count, limit = k, min(limit, _largest_distance(keys, k))
    for b in range(used):
        if gaps[b] <= limit and b != hint:
            _block_distances(blocks[b], x, y, z, distances)
            count = _append(distances, index[b], limit, keys, count)
            if count + BLOCK >= len(keys):
                select(keys, count, k)
                count, limit = k, min(limit, _largest_distance(keys, k))
    if count > k:
        select(keys, count, k)
    return min(count, k)


@jit()
def nearest_k(first, last, queries, query_order, lengths, table, per_cloud, found, squared):
    """k nearest points: queries (B, M, 3) -> found, squared (B, M, k).

    ``table`` is what ``make_blocks`` fills. Tasks are ``per_cloud`` parts of each cloud's queries, taken in
    ``query_order`` (B, M): the ball around the last query that held k points bounds the search for the next.
    Where it proves too small by rounding, all is searched.
    """
    blocks, index, boxes = table
    number, k = queries.shape[1], found.shape[2]
    keys = np.empty(2 * k + 3 * BLOCK, np.uint64)
    gaps, distances = np.empty(blocks.shape[1], np.float32), np.empty(BLOCK, np.float32)
    for task in range(first, last):
        cloud, part = task // per_cloud, task % per_cloud
        used = (lengths[cloud] + BLOCK - 1) // BLOCK
        limit, hint = np.float32(np.inf), 0
        x = y = z = np.float32(0)
        for place in range(number * part // per_cloud, number * (part + 1) // per_cloud):
            q = query_order[cloud, place]
            dx, dy, dz = queries[cloud, q, 0] - x, queries[cloud, q, 1] - y, queries[cloud, q, 2] - z
            x, y, z = queries[cloud, q, 0], queries[cloud, q, 1], queries[cloud, q, 2]
            reach = np.sqrt(limit) + np.sqrt(dx * dx + dy * dy + dz * dz)
            limit = reach * reach * np.float32(1.0001)
            parts = (blocks[cloud], index[cloud], boxes[cloud], used)
            count = collect(*parts, x, y, z, k, limit, hint, keys, gaps, distances)
            if count < k:
                collect(*parts, x, y, z, k, np.float32(np.inf), hint, keys, gaps, distances)
            sort_few(keys, k)
            for i in range(k):
                found[cloud, q, i] = np.int64(keys[i] & LOW)
                squared[cloud, q, i] = np.uint32(keys[i] >> HALF).view(np.float32)
            limit = squared[cloud, q, k - 1]
            hint = np.argmin(gaps[:used])
