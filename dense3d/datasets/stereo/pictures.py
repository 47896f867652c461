"""Pictures of a pair, and png files whose pixels are numbers: 16-bit disparity and depth, masks.

OpenCV decodes; a file that is cut off, which OpenCV may return in part, is found by its missing end.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dense3d.datasets.scan.images import check_image
from dense3d.datasets.stereo.pfm import read_bytes
from dense3d.errors import DataError
from dense3d.files import atomic_write
from dense3d.image_files import Reader

_ENDS = ((b"\x89PNG", b"IEND\xaeB`\x82"), (b"\xff\xd8", b"\xff\xd9"))
_TAIL = 1 << 16  # metadata may stand behind the pixels


def read_picture(path: str | Path, as_stored: bool = False) -> np.ndarray:
    """A photograph as (H, W, 3) RGB uint8, upright; grey ones have three equal channels.

    Args:
        path: the file.
        as_stored: do not turn it as its EXIF data ask for, as COLMAP does not.

    Raises:
        DataError: the file is missing, no image, cut off or damaged.
    """
    content = read_bytes(path)
    _check_end(path, content)
    if as_stored:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        if pixels is not None:
            return np.ascontiguousarray(pixels[..., ::-1])
    try:
        return np.ascontiguousarray(Reader().decode(content)[..., ::-1])
    except ValueError as error:
        raise DataError(str(check_image(path, decode=True) or f"{path}: {error}")) from None


def read_numbers(path: str | Path, bits: int | None = None, channels: int = 1) -> np.ndarray:
    """Pixels of an image file as they are stored.

    Args:
        path: the file.
        bits: 8 or 16 that each must have; None takes either.
        channels: 1, or 3 in the order red, green, blue. A grey image that was saved as a colour one is taken
            for grey if its channels agree.

    Returns:
        (H, W) or (H, W, 3), uint8 or uint16.

    Raises:
        DataError: the file is missing, damaged, or of another depth or number of channels.
    """
    content = read_bytes(path)
    _check_end(path, content)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(str(check_image(path, decode=True) or f"{path} cannot be decoded as an image"))
    found = 8 * pixels.dtype.itemsize
    if bits is not None and (found != bits or pixels.dtype.kind != "u"):
        lost = "a program of 8 bits saved it again, which loses the values" if bits > 8 else ""
        raise DataError(
            f"{path} has {found} bits a channel, but this format has {bits}: "
            f"{lost or 'it is of another format'}; restore the original file or name its format"
        )
    if pixels.ndim == 3:
        pixels = pixels[..., :3][..., ::-1]
    if channels == 1 and pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise DataError(f"{path} is a colour image, but this format has one channel: is it a drawing?")
        pixels = pixels[..., 0]
    elif channels == 3 and pixels.ndim == 2:
        raise DataError(f"{path} has one channel, but this format has three")
    return np.ascontiguousarray(pixels)


def write_numbers(path: str | Path, pixels: np.ndarray) -> None:
    """Write a png file, whole or not at all.

    Args:
        path: the file.
        pixels: (H, W) or (H, W, 3) RGB, uint8 or uint16.
    """
    pixels = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    done, content = cv2.imencode(".png", np.ascontiguousarray(pixels))
    if not done:
        raise DataError(f"{path}: pixels {pixels.shape} of {pixels.dtype} cannot be written as png")
    with atomic_write(path) as file:
        file.write(content.tobytes())


def read_scaled_png(path: str | Path, divisor: float, bits: int | None = 16) -> np.ndarray:
    """Numbers stored times ``divisor``; 0 means unknown and stays 0.

    Returns:
        (H, W) float32.

    Raises:
        DataError: as :func:`read_numbers`.
    """
    return read_numbers(path, bits).astype(np.float32) / np.float32(divisor)


def write_scaled_png(path: str | Path, values: np.ndarray, divisor: float = 256.0) -> None:
    """Write numbers times ``divisor`` with 16 bits; those that are not finite or not positive as 0, unknown.

    Raises:
        DataError: a value is too large for 16 bits, which would wrap around.
    """
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values) & (values > 0)
    stored = np.rint(np.where(known, values, 0) * divisor)
    if stored.max(initial=0) > 65535:
        limit = 65535 / divisor
        raise DataError(f"{path}: {values[known].max():g} does not fit 16 bits at {divisor:g} a unit; the "
                        f"largest value is {limit:g}: write pfm instead")  # fmt: skip
    write_numbers(path, np.maximum(stored, known).astype(np.uint16))


def _check_end(path: str | Path, content: bytes) -> None:
    for start, end in _ENDS:
        if content.startswith(start) and end not in content[-_TAIL:]:
            raise DataError(f"{path} is cut off after {len(content)} bytes; download or restore it")
