"""Maps of segment ids and the colour PNG files that hold them: id = R + 256 G + 65536 B, 0 is void."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write

VOID = 0
MAX_ID = (1 << 24) - 1
PALETTE = 3  # colour type of a PNG
INSTANCE_OFFSET = 1000


def rgb_to_ids(rgb: np.ndarray) -> np.ndarray:
    """Segment ids of colours.

    Args:
        rgb: ``(..., 3)`` uint8.

    Returns:
        ``(...)`` uint32 ids.

    Example:
        >>> rgb_to_ids(np.array([[0, 0, 0], [1, 2, 3]], np.uint8))
        array([     0, 197121], dtype=uint32)
    """
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    return red | green << 8 | blue << 16


def ids_to_rgb(ids: np.ndarray) -> np.ndarray:
    """Colours of segment ids, the inverse of :func:`rgb_to_ids`.

    Args:
        ids: ``(...)`` integers in 0 .. 2^24 - 1.

    Returns:
        ``(..., 3)`` uint8.

    Raises:
        DataError: an id does not fit into a colour.

    Example:
        >>> ids_to_rgb(np.array([0, 197121]))
        array([[0, 0, 0],
               [1, 2, 3]], dtype=uint8)
    """
    ids = np.asarray(ids)
    if ids.size and (ids.min() < 0 or ids.max() > MAX_ID):
        worst = ids.min() if ids.min() < 0 else ids.max()
        raise DataError(f"the segment id {worst} is no colour: ids lie in 0 .. {MAX_ID}; renumber them")
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)


def read_id_map(path: str | Path) -> np.ndarray:
    """Read a PNG of segment colours.

    Returns:
        ``(H, W)`` uint32 ids.

    Raises:
        DataError: the file is missing, no whole image, or does not hold three 8-bit colour channels.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError):
        raise DataError(
            f"{path}: the map of segment ids does not exist; unpack it or correct the folder"
        ) from None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None:
        raise DataError(f"{path}: not a readable PNG ({len(data)} bytes); restore or download it again")
    if pixels.ndim == 2:
        raise DataError(
            f"{path}: the map has one channel of {8 * pixels.itemsize} bits, up to {int(pixels.max())}, not "
            "colours; segment ids are R + 256 G + 65536 B: write it again with "
            "dense3d.datasets.panoptic.write_id_map"
        )
    if pixels.dtype != np.uint8:
        raise DataError(f"{path}: the map has {8 * pixels.itemsize} bits a channel, not 8; write it again")
    # One 32-bit word a pixel; converting channel by channel takes several times as long.
    conversion = cv2.COLOR_BGR2RGBA if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    words = cv2.cvtColor(pixels, conversion).view("<u4")[..., 0]
    return np.bitwise_and(words, MAX_ID, out=words)


def palette_note(path: str | Path) -> str:
    """A clause for errors about the ids of a PNG with a palette, and ``""`` for others.

    Colours from a palette are as good as others; but most such files hold the ids as numbers of 8 bits.
    """
    with Path(path).open("rb") as file:
        head = file.read(26)
    if len(head) < 26 or head[25] != PALETTE:
        return ""
    return (
        "; the png has a palette, whose colours were read as ids (R + 256 G + 65536 B): if the ids are its "
        "8-bit numbers, write them as colours with dense3d.datasets.panoptic.write_id_map"
    )


def write_id_map(path: str | Path, ids: np.ndarray) -> None:
    """Write ids as a colour PNG, whole or not at all; :func:`read_id_map` gives them back exactly.

    Args:
        path: the file.
        ids: ``(H, W)`` integers in 0 .. 2^24 - 1.

    Raises:
        DataError: an id does not fit into a colour.
    """
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(ids_to_rgb(ids)[..., ::-1]))
    with atomic_write(path) as file:
        file.write(encoded.tobytes())


def segment_areas(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a map in ascending order, void included, and their numbers of pixels.

    Args:
        ids: ``(H, W)`` integers.

    Example:
        >>> segment_areas(np.array([[0, 7], [7, 7]]))
        (array([0, 7]), array([1, 3]))
    """
    (values,), lengths = constant_runs(ids)
    order = np.argsort(values, kind="stable")
    values, lengths = values[order], lengths[order]
    firsts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])
    return values[firsts], np.add.reduceat(lengths, firsts) if len(firsts) else lengths


def constant_runs(*maps: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Runs of pixels, in reading order, along which no map changes: there are far fewer than pixels.

    Args:
        maps: one or more ``(H, W)`` arrays.

    Returns:
        For each map the values ``(R,)`` of the runs, and the runs' lengths ``(R,)`` in pixels.
    """
    flat = [np.ravel(values) for values in maps]
    count = flat[0].size
    changes = np.zeros(count, dtype=bool)
    changes[:1] = True
    for values in flat:
        changes[1:] |= values[1:] != values[:-1]
    starts = np.flatnonzero(changes)
    return [values[starts] for values in flat], np.diff(starts, append=count)


def decode_segments(
    coded: np.ndarray, num_classes: int, ignore_index: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Segment ids and labels of a panoptic result.

    Args:
        coded: ``(H, W)`` integers, label + 1000 x instance number; stuff has the number 0.
        num_classes: labels from it on are void.
        ignore_index: a further label that is void.

    Returns:
        ``(H, W)`` uint32 ids, 0 void and 1 .. S the segments, and the labels ``(S,)`` of these.

    Example:
        >>> decode_segments(np.array([[0, 1000, 1001, 3]]), num_classes=3)
        (array([[1, 2, 3, 0]], dtype=uint32), array([0, 0, 1]))
    """
    (values,), lengths = constant_runs(coded)
    present, places = np.unique(values, return_inverse=True)
    labels = present.astype(np.int64) % INSTANCE_OFFSET
    known = (labels < num_classes) & (present >= 0)
    if ignore_index is not None:
        known &= labels != ignore_index
    ids = np.where(known, np.cumsum(known), VOID).astype(np.uint32)
    return np.repeat(ids[places], lengths).reshape(coded.shape), labels[known]
