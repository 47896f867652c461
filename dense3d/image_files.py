"""Image files: opened in formats that are named, and decoded as a data loader decodes them.

Pillow looks at the content of a file, not at its name, and knows formats that start other programs: an EPS
file named ``.jpg`` reaches Ghostscript. :func:`open_image` stands in for ``Image.open`` everywhere here, and
:func:`name_formats_of_mmcv` puts it into mmcv's ``pillow`` backend.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    import numpy as np

# Still images whose decoders are part of Pillow; MPO, which cameras write, is opened as JPEG.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


def open_image(file: str | os.PathLike | IO[bytes], mode: str = "r") -> Image.Image:
    """``Image.open`` for the formats of photographs and maps, and no others.

    Args:
        file: path or open file.
        mode: must be ``"r"``, as for Pillow.

    Raises:
        UnidentifiedImageError: the file is of none of :data:`FORMATS`.
        OSError: the file does not exist or is damaged.
    """
    Image.init()  # the plugins register their names
    return Image.open(file, mode, [name for name in FORMATS if name in Image.OPEN])


@dataclass(frozen=True)
class Reader:
    """How a data loader decodes images; the options of mmcv's ``LoadImageFromFile``.

    Args:
        backend: ``imdecode_backend``: ``"cv2"``, ``"pillow"``, ``"turbojpeg"`` or ``"tifffile"``.
        flag: ``color_type``: ``"color"``, ``"grayscale"``, ``"unchanged"``, ...
    """

    backend: str = "cv2"
    flag: str = "color"

    def decode(self, content: bytes) -> np.ndarray:
        """Pixels of a file's content, ``(H, W)`` or ``(H, W, channels)``, turned as the loader turns them.

        Raises:
            ValueError: the decoder takes it for no whole image.
        """
        try:
            pixels = self._decode(content)
        except Exception as error:  # decoders raise what they like
            raise ValueError(f"{self.backend} cannot decode it: {_first_line(error)}") from error
        if pixels is None or not pixels.size:
            raise ValueError(f"{self.backend}, which loads the images, cannot decode it")
        return pixels

    def _decode(self, content: bytes) -> np.ndarray | None:
        if self.backend == "cv2" and self.flag == "color":  # mmcv does the same, and takes long to import
            import cv2
            import numpy as np

            return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        import mmcv

        name_formats_of_mmcv()
        return mmcv.imfrombytes(content, flag=self.flag, backend=self.backend)


def name_formats_of_mmcv() -> None:
    """Have mmcv's ``pillow`` backend open the named formats only, if mmcv is loaded; idempotent."""
    module = sys.modules.get("mmcv.image.io")
    if module is not None and module.Image is Image:
        module.Image = _ImageOfNamedFormats()


class _ImageOfNamedFormats:
    """Pillow's module ``Image`` with another ``open``."""

    open = staticmethod(open_image)

    def __getattr__(self, name: str) -> Any:
        return getattr(Image, name)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
