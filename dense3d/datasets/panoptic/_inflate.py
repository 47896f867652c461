"""DEFLATE (RFC 1951) decompression compiled by numba, for data that are nearly all zeros.

The filtered bytes of a map of segment ids compress a hundredfold: long runs of zeros are passed over in an
output that holds zeros already. Damaged data end in a negative status, never outside of the arrays.
"""

from __future__ import annotations

import numpy as np
from numba import njit

MAX_BITS = 15
SLACK = 16  # bytes that copies may touch behind the output
END_OF_BLOCK = 256
# Shortest length or distance of each code, and how many further bits add to it.
LENGTHS = np.array(
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
     227, 258], dtype=np.int64,
)  # fmt: skip
LENGTH_BITS = np.array([0] * 8 + [b for b in range(1, 6) for _ in range(4)] + [0], dtype=np.int64)
DISTANCES = np.array(
    [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073,
     4097, 6145, 8193, 12289, 16385, 24577], dtype=np.int64,
)  # fmt: skip
DISTANCE_BITS = np.array([0, 0] + [b for b in range(14) for _ in range(2)], dtype=np.int64)
# The order in which the code lengths of the code-length code are stored.
ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], dtype=np.int64)


@njit(cache=True)
def _refill(source, at, hold, have):
    """Top up the bit buffer to more than 48 bits where the source has them."""
    while have <= 48 and at < len(source):
        hold |= np.uint64(source[at]) << np.uint64(have)
        have += 8
        at += 1
    return at, hold, have


@njit(cache=True)
def _low(hold, count):
    """The next ``count`` bits."""
    return np.int64(hold & ((np.uint64(1) << np.uint64(count)) - np.uint64(1)))


@njit(cache=True)
def _build(lengths, table):
    """Decoding table of a canonical Huffman code: (symbol << 4 | length) by the next bits, 0 for none.

    Returns:
        The number of bits that index the table, or -1 if no code has such lengths.
    """
    counts = np.zeros(MAX_BITS + 1, dtype=np.int64)
    for length in lengths:
        counts[length] += 1
    counts[0] = 0
    starts, code, free, bits = np.zeros(MAX_BITS + 1, dtype=np.int64), 0, 1, 1
    for length in range(1, MAX_BITS + 1):
        code = (code + counts[length - 1]) << 1
        starts[length] = code
        free = 2 * free - counts[length]
        if free < 0:
            return -1
        if counts[length]:
            bits = length
    table[: 1 << bits] = 0
    for symbol in range(len(lengths)):
        length = lengths[symbol]
        if length:
            code, reverse = starts[length], 0
            starts[length] += 1
            for _ in range(length):
                reverse = reverse << 1 | code & 1
                code >>= 1
            for index in range(reverse, 1 << bits, 1 << length):
                table[index] = symbol << 4 | length
    return bits


@njit(cache=True)
def _read_code_lengths(source, at, hold, have, table, lengths):
    """Lengths of the two codes of a dynamic block.

    Returns:
        Position and bit buffer, and the numbers of literal and distance codes; the first is -1 on damage.
    """
    at, hold, have = _refill(source, at, hold, have)
    literals, distances, stored = 257 + _low(hold, 5), 1 + _low(hold >> np.uint64(5), 5), 4
    stored += _low(hold >> np.uint64(10), 4)
    hold, have = hold >> np.uint64(14), have - 14
    own = np.zeros(19, dtype=np.int64)
    for k in range(stored):
        at, hold, have = _refill(source, at, hold, have)
        own[ORDER[k]] = _low(hold, 3)
        hold, have = hold >> np.uint64(3), have - 3
    bits = _build(own, table)
    count = 0
    while bits > 0 and count < literals + distances:
        at, hold, have = _refill(source, at, hold, have)
        entry = table[_low(hold, bits)]
        symbol, used = entry >> 4, entry & 15
        hold, have = hold >> np.uint64(used), have - used
        value, repeats = symbol, 1
        if symbol == 16:
            value, repeats = lengths[count - 1] if count else 0, 3 + _low(hold, 2)
            hold, have = hold >> np.uint64(2), have - 2
        elif symbol == 17:
            value, repeats = 0, 3 + _low(hold, 3)
            hold, have = hold >> np.uint64(3), have - 3
        elif symbol == 18:
            value, repeats = 0, 11 + _low(hold, 7)
            hold, have = hold >> np.uint64(7), have - 7
        if used == 0 or have < 0 or count + repeats > literals + distances:
            return at, hold, have, -1, 0
        lengths[count : count + repeats] = value
        count += repeats
    return at, hold, have, literals if bits > 0 else -1, distances


@njit(cache=True)
def _copy(target, at, distance, length):
    """Repeat ``length`` bytes from ``distance`` back; behind the output the target holds zeros."""
    if distance == 1:
        value = target[at - 1]
        if value:
            target[at : at + length] = value
    elif distance >= SLACK:
        # Whole blocks are read before they are written, which compiles to vector instructions.
        for k in range(at, at + length, SLACK):
            q = k - distance
            a, b, c, d = target[q], target[q + 1], target[q + 2], target[q + 3]
            e, f, g, h = target[q + 4], target[q + 5], target[q + 6], target[q + 7]
            i, j, u, m = target[q + 8], target[q + 9], target[q + 10], target[q + 11]
            n, o, r, s = target[q + 12], target[q + 13], target[q + 14], target[q + 15]
            target[k], target[k + 1], target[k + 2], target[k + 3] = a, b, c, d
            target[k + 4], target[k + 5], target[k + 6], target[k + 7] = e, f, g, h
            target[k + 8], target[k + 9], target[k + 10], target[k + 11] = i, j, u, m
            target[k + 12], target[k + 13], target[k + 14], target[k + 15] = n, o, r, s
        target[at + length : at + length + SLACK] = 0
    else:
        for k in range(at, at + length):
            target[k] = target[k - distance]


@njit(cache=True, nogil=True)
def inflate(source, target):
    """Decompress a DEFLATE stream.

    Args:
        source: uint8, the stream without zlib's header; what follows it is left.
        target: uint8 zeros, as many as the stream gives and ``SLACK`` more.

    Returns:
        Bytes written, or -1 if the stream is damaged or gives more.
    """
    end, size, at, have, hold = len(target) - SLACK, 0, 0, 0, np.uint64(0)
    literal_table, distance_table = np.empty(1 << MAX_BITS, np.int64), np.empty(1 << MAX_BITS, np.int64)
    lengths, last = np.zeros(320, dtype=np.int64), False
    while not last:
        at, hold, have = _refill(source, at, hold, have)
        if have < 3:
            return -1
        last, kind = _low(hold, 1) == 1, _low(hold >> np.uint64(1), 2)
        hold, have = hold >> np.uint64(3), have - 3
        if kind == 0:
            at -= have >> 3
            count = np.int64(source[at]) | np.int64(source[at + 1]) << 8 if at + 4 <= len(source) else -1
            at, hold, have = at + 4, np.uint64(0), 0
            if count < 0 or at + count > len(source) or size + count > end:
                return -1
            target[size : size + count] = source[at : at + count]
            at, size = at + count, size + count
            continue
        if kind == 1:
            lengths[:144], lengths[144:256], lengths[256:280], lengths[280:320] = 8, 9, 7, 8
            lengths[288:318] = 5
            literals, distances = 288, 30
        elif kind == 2:
            at, hold, have, literals, distances = _read_code_lengths(
                source, at, hold, have, literal_table, lengths
            )
        if kind == 3 or literals < 0:
            return -1
        bits = _build(lengths[:literals], literal_table)
        distance_bits = _build(lengths[literals : literals + distances], distance_table)
        if bits < 0 or distance_bits < 0:
            return -1
        while True:
            at, hold, have = _refill(source, at, hold, have)
            entry = literal_table[_low(hold, bits)]
            symbol, used = entry >> 4, entry & 15
            hold, have = hold >> np.uint64(used), have - used
            if used == 0 or have < 0 or symbol > END_OF_BLOCK + len(LENGTHS):
                return -1
            if symbol < END_OF_BLOCK:
                if size >= end:
                    return -1
                target[size] = symbol
                size += 1
                continue
            if symbol == END_OF_BLOCK:
                break
            symbol -= END_OF_BLOCK + 1
            used = LENGTH_BITS[symbol]
            length = LENGTHS[symbol] + _low(hold, used)
            hold, have = hold >> np.uint64(used), have - used
            entry = distance_table[_low(hold, distance_bits)]
            symbol, used = entry >> 4, entry & 15
            if used == 0 or symbol >= len(DISTANCES):
                return -1
            hold, have = hold >> np.uint64(used), have - used
            used = DISTANCE_BITS[symbol]
            distance = DISTANCES[symbol] + _low(hold, used)
            hold, have = hold >> np.uint64(used), have - used
            if have < 0 or distance > size or size + length > end:
                return -1
            _copy(target, size, distance, length)
            size += length
    return size
