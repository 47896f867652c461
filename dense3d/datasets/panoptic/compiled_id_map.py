"""Reading many maps of segment ids: compiled decoding, with OpenCV for whatever is unusual or damaged."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from dense3d.datasets.panoptic._inflate import SLACK, inflate
from dense3d.datasets.panoptic._row_filters import unfilter
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
    except OSError:
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
    size = height * (1 + 3 * width)
    filtered = np.zeros(size + SLACK, dtype=np.uint8)
    if inflate(np.frombuffer(stream, np.uint8)[2:], filtered) != size:
        return None
    ids = np.empty((height, width), dtype=np.uint32)
    return ids if unfilter(filtered, ids) == 0 else None


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
