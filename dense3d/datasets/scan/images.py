"""Is this file an image, and a whole one? Quick by header and tail, certain by decoding."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from dense3d.datasets.scan.report import Fault

# Bytes that end a whole file of the format; without them the file is decoded to make sure.
_TAILS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL_LENGTH = 64
_EXIF_ORIENTATION = 0x0112
_REMEDY = "replace the file or download it again"


def check_image(path: str | Path, size: tuple[int, int] | None = None, decode: bool = False) -> Fault | None:
    """Look for a fault of one image file.

    Args:
        path: the file.
        size: width and height in pixels that the annotations state.
        decode: decode all pixels. Without it, the header is read and the end of JPEG and PNG files is
            looked at, which finds truncated files but no damage in the middle.

    Returns:
        The fault, or None if the image is whole.
    """
    path = str(path)
    try:
        length = Path(path).stat().st_size
    except OSError:
        return Fault(
            "file-missing", path, "the file does not exist", remedy="download or restore it", image=path
        )
    if length == 0:
        return Fault("zero-bytes", path, "the file has zero bytes", remedy=_REMEDY, image=path)
    try:
        with Image.open(path) as image:
            seen = _upright_size(image)
            if decode or not _has_tail(path, image.format, length):
                image.load()
    except UnidentifiedImageError:
        with Path(path).open("rb") as file:
            start = file.read(8)
        return Fault(
            "not-an-image", path, f"no image format begins with {start!r}", remedy=_REMEDY, image=path
        )
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        value = f"{error} (the file has {length} bytes)"
        return Fault("truncated", path, value, remedy=_REMEDY, image=path)
    if size is not None and seen != tuple(size):
        value = f"the image is {seen[0]} x {seen[1]} pixels but the annotations say {size[0]} x {size[1]}"
        return Fault("size-differs", path, value, remedy="correct width and height there", image=path)
    return None


def check_images(
    paths: Iterable[str],
    sizes: Iterable[tuple[int, int] | None],
    decode: bool = False,
    workers: int = 2,
) -> list[Fault | None]:
    """:func:`check_image` of many files, in their order; threads, as decoding releases Python's lock."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return list(pool.map(check_image, paths, sizes, repeat(decode)))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height after the rotation that the EXIF data ask for, as OpenCV reads the file."""
    turned = image.format == "JPEG" and image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    return image.size[::-1] if turned else image.size


def _has_tail(path: str, image_format: str | None, length: int) -> bool:
    tail = _TAILS.get(image_format or "")
    if tail is None:
        return True
    with Path(path).open("rb") as file:
        file.seek(max(0, length - _TAIL_LENGTH))
        return tail in file.read()
