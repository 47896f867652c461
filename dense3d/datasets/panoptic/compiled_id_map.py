"""Reading many maps of segment ids: isal inflates, compiled loops undo PNG's row filters.

OpenCV reads whatever is unusual or damaged. A pixel of three bytes is one word. Where neighbours are equal,
as inside segments, the predictors are equal too and nothing has to be computed.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from isal import isal_zlib

from dense3d.compiled import njit
from dense3d.datasets.panoptic.id_map import read_id_map

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PLAIN = b"\x08\x02\x00\x00\x00"  # eight bits, RGB, DEFLATE, the five row filters, not interlaced


def read_id_map_compiled(path: str | Path) -> np.ndarray:
    """Read a PNG of segment colours in a fraction of the time of :func:`read_id_map`.

    The first use on a machine compiles for seconds, each process then loads for about one; it pays for
    hundreds of files.

    Returns:
        ``(H, W)`` uint32 ids.

    Raises:
        DataError: as :func:`read_id_map`.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError):
        return read_id_map(path)  # it says what is wrong
    ids = decode(data)
    return read_id_map(path) if ids is None else ids


def decode(data: bytes) -> np.ndarray | None:
    """Ids (H, W) of a PNG file's bytes, or None if they are no whole 8-bit RGB PNG."""
    chunks = _chunks(data)
    if chunks is None:
        return None
    header, stream = chunks
    width, height = struct.unpack(">II", header[:8])
    is_deflate = len(stream) > 2 and stream[0] & 15 == 8 and not stream[1] & 32
    if header[8:] != PLAIN or not is_deflate or width * height == 0 or width * height > 1 << 28:
        return None
    filtered = _inflate(stream[2:], height * (1 + 3 * width))
    if filtered is None:
        return None
    ids = np.empty((height, width), dtype=np.uint32)
    return ids if unfilter(np.frombuffer(filtered, np.uint8), ids) == 0 else None


def _inflate(stream: bytes, size: int) -> bytes | None:
    """The ``size`` bytes of a DEFLATE stream, or None if it is damaged or gives fewer or more."""
    inflater = isal_zlib.decompressobj(-zlib.MAX_WBITS)  # no checksum but that of the chunks
    try:
        data = inflater.decompress(stream, size + 1)  # no more memory than that, whatever the stream claims
    except isal_zlib.error:
        return None
    return data if inflater.eof and len(data) == size else None


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    """Header and joined image data, or None if a chunk is damaged or missing."""
    if data[:8] != SIGNATURE:
        return None
    header, stream, at = b"", [], 8
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body, check = data[at + 4 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        # These checksums cover the stream; that of zlib, over all that it gives, would cost much more.
        if len(check) < 4 or zlib.crc32(body) != int.from_bytes(check, "big"):
            return None
        if kind == b"IHDR":
            header = body[4:]
        elif kind == b"IDAT":
            stream.append(body[4:])
        elif kind == b"IEND":
            return (header, b"".join(stream)) if len(header) == 13 else None
        elif not kind[0] & 32:  # a critical chunk, such as a palette
            return None
        at += 12 + length
    return None


@njit()
def _added(a, b):
    """Sum of two words of three bytes, each byte modulo 256."""
    low, high = np.uint32(0x7F7F7F), np.uint32(0x808080)
    return ((a & low) + (b & low)) ^ ((a ^ b) & high)


@njit()
def _averaged(a, b):
    """Mean of two words of three bytes, each byte rounded down."""
    return (a & b) + (((a ^ b) >> np.uint32(1)) & np.uint32(0x7F7F7F))


@njit()
def _byte(word, shift):
    return np.int64(word >> np.uint32(shift)) & 255


@njit()
def _paeth(left, above, corner):
    """Of left, above and corner, the nearest to left + above - corner, for each of three bytes."""
    word = np.uint32(0)
    for shift in range(0, 24, 8):
        a, b, c = _byte(left, shift), _byte(above, shift), _byte(corner, shift)
        to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
        value = a if to_a <= to_b and to_a <= to_c else b if to_b <= to_c else c
        word |= np.uint32(value) << np.uint32(shift)
    return word


@njit(nogil=True)
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
