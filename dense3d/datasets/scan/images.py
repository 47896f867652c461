"""Is this file an image, and a whole one, of what size? Quick by header and tail, certain by decoding.

What counts is what the data loader makes of a file: its decoder, and the size after it turned the image as
the EXIF data ask for. Wherever a header cannot tell that, the file is decoded, as the loader does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from urllib.parse import unquote

from PIL import Image, UnidentifiedImageError

from dense3d.datasets.scan.report import Fault
from dense3d.files import is_file
from dense3d.image_files import IMAGE_SUFFIXES, Reader, open_image

# Bytes that end a whole file of the format; without them the file is decoded to make sure.
_TAILS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
_TAIL_LENGTH = 1 << 16  # EXIF data of a PNG may stand behind the pixels
_EXIF_ORIENTATION = 0x0112
_STRIPS = ((273, 279), (324, 325))  # tags of a TIFF: where strips, or tiles, begin, and their lengths
_REMEDY = "replace the file or download it again"


def check_image(
    path: str | Path,
    size: tuple[int, int] | None = None,
    decode: bool = False,
    reader: Reader | None = None,
) -> Fault | None:
    """Look for a fault of one image file.

    Args:
        path: the file.
        size: width and height in pixels that the annotations state, after the turn that EXIF data ask for.
        decode: decode all pixels. Without it, the header is read and the end of JPEG, PNG, WebP and TIFF
            files is looked at, which finds truncated files but no damage in the middle.
        reader: how the data loader decodes; OpenCV, in colour, by default.

    Returns:
        The fault, or None if the image is whole.
    """
    fault, seen = measure_image(path, decode, reader)
    if fault is None and size is not None and seen != tuple(size):
        value = f"the image is {seen[0]} x {seen[1]} pixels but the annotations say {size[0]} x {size[1]}"
        return Fault(
            "size-differs", str(path), value, remedy="correct width and height there", image=str(path)
        )
    return fault


def measure_image(
    path: str | Path, decode: bool = False, reader: Reader | None = None
) -> tuple[Fault | None, tuple[int, int] | None]:
    """The fault of a file as :func:`check_image`, or the width and height that the data loader gives."""
    path, reader, length = str(path), reader or Reader(), 0
    try:
        length = Path(path).stat().st_size
        if length == 0:
            return Fault("zero-bytes", path, "the file has zero bytes", remedy=_REMEDY, image=path), None
        seen = _size_by_pillow(path, length, decode, reader)
        if decode or seen is None:
            seen = reader.decode(Path(path).read_bytes()).shape[1::-1]
        return None, seen
    except FileNotFoundError:
        value, remedy = "the file does not exist", "download or restore it"
        if (other := _written_otherwise(path)) is not None:
            value, remedy = f"{value}, but {other} does", "correct the name in the annotations"
        return Fault("file-missing", path, value, remedy=remedy, image=path), None
    except (IsADirectoryError, PermissionError, NotADirectoryError) as error:
        return Fault("file-missing", path, error.strerror.lower(), remedy="correct it", image=path), None
    except UnidentifiedImageError:
        with Path(path).open("rb") as file:
            start = file.read(8)
        value = f"no image format begins with {start!r}"
        return Fault("not-an-image", path, value, remedy=_REMEDY, image=path), None
    except Exception as error:  # decoders raise what they like
        value = f"{str(error) or type(error).__name__} (the file has {length} bytes)"
        return Fault("truncated", path, value, remedy=_REMEDY, image=path), None


def _written_otherwise(path: str) -> str | None:
    """A file that is there under a name as labelling tools write it: of Windows, of a URL, another suffix."""
    plain = Path(path.replace("\\", "/"))
    suffixes = [suffix for kind in IMAGE_SUFFIXES for suffix in (kind, kind.upper())]
    others = [plain, Path(unquote(path)), *(plain.with_suffix(suffix) for suffix in suffixes if plain.suffix)]
    return next((str(other) for other in others if is_file(other)), None)


def check_images(
    paths: Iterable[str],
    sizes: Iterable[tuple[int, int] | None],
    decode: bool = False,
    workers: int = 2,
    reader: Reader | None = None,
) -> list[Fault | None]:
    """:func:`check_image` of many files, in their order; threads, as decoding releases Python's lock."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return list(pool.map(check_image, paths, sizes, repeat(decode), repeat(reader)))


def _size_by_pillow(path: str, length: int, decode: bool, reader: Reader) -> tuple[int, int] | None:
    """Width and height as the header tells them, or None where only the loader's decoder can tell.

    Raises:
        UnidentifiedImageError: neither Pillow nor the loader knows the format.
        OSError, ...: Pillow finds damage.
    """
    try:
        with open_image(path) as image:
            if decode:
                image.load()
            return image.size if not decode and _is_plain(image, path, length) else None
    except UnidentifiedImageError:
        try:  # formats of OpenCV's such as Radiance HDR
            reader.decode(Path(path).read_bytes())
        except ValueError:
            pass
        else:
            return None
        raise


def _is_plain(image: Image.Image, path: str, length: int) -> bool:
    """Whether the file is whole at its end and of a kind whose size every decoder finds in the header."""
    if image.format == "TIFF":
        return _is_plain_tiff(image, length)
    if image.format == "WEBP":
        with Path(path).open("rb") as file:
            stated = int.from_bytes(file.read(8)[4:], "little") + 8
        return stated <= length and not _is_turned(image)
    if image.format not in _TAILS:
        return False
    with Path(path).open("rb") as file:
        file.seek(max(0, length - _TAIL_LENGTH))
        tail = file.read()
    if image.format == "PNG":
        # Pillow's getexif would decode a PNG to look behind the pixels.
        told = {"exif", "Raw profile type exif", "Raw profile type APP1", "XML:com.adobe.xmp", "xmp"}
        return _TAILS["PNG"] in tail and not told & set(image.info) and b"eXIf" not in tail
    return _TAILS[image.format] in tail and not _is_turned(image)


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(_EXIF_ORIENTATION, 1) != 1


def _is_plain_tiff(image: Image.Image, length: int) -> bool:
    """Pixels of 8 bits, not turned, and all of their data inside the file."""
    tags = image.tag_v2
    if image.mode not in ("L", "P", "RGB", "RGBA") or tags.get(_EXIF_ORIENTATION, 1) != 1:
        return False
    starts, lengths = next(((tags[a], tags[b]) for a, b in _STRIPS if a in tags and b in tags), ((), ()))
    return bool(starts) and all(start + count <= length for start, count in zip(starts, lengths))
