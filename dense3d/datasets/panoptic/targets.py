"""Where a conversion writes its png files: in its folder, each to a name of its own, over nobody's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from dense3d.errors import DataError
from dense3d.files import inside


def map_targets(
    names: Iterable[tuple[str, str]],
    folder: str | Path,
    is_own: Callable[[np.ndarray], bool],
    sources: Iterable[Path] = (),
) -> list[Path]:
    """The files that a conversion is to write, before it writes the first.

    Args:
        names: for each image the place that its file name stands in, for messages, and the name.
        folder: where to write; it need not exist.
        is_own: whether the pixels of a file that is there already are such as the conversion writes. It then
            is an earlier result and may be replaced.
        sources: files that the conversion reads.

    Raises:
        DataError: a name leads out of the folder, two images have one name, or a file would be replaced that
            the conversion reads or that is no result of it.

    Example:
        >>> map_targets([("image 1", "a.png"), ("image 2", "b/a.png")], "out", is_class_map)
        [PosixPath('out/a.png'), PosixPath('out/b/a.png')]
    """
    remedy = "the files that are written lie in that folder: correct it"
    targets = [(where, inside(folder, name, where, remedy)) for where, name in names]
    read = {path.resolve() for path in sources}
    taken: dict[Path, str] = {}
    for where, target in targets:
        if target in taken:
            raise DataError(
                f"{where}: its file {target} is also that of {taken[target]}; give each image its own name"
            )
        taken[target] = where
        if target.resolve() in read:
            raise DataError(f"{where}: {target} would replace what is converted; choose another folder")
        if target.exists() and not _is_earlier_result(target, is_own):
            raise DataError(
                f"{where}: {target} exists and is no result of this conversion; choose an empty folder"
            )
    return list(taken)


def is_class_map(pixels: np.ndarray) -> bool:
    """Whether the pixels are one channel of 8 bits."""
    return pixels.ndim == 2 and pixels.dtype == np.uint8


def is_numbered_map(pixels: np.ndarray) -> bool:
    """Whether the pixels are colours of segment ids that count from 1; no photograph lacks blue."""
    return pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 and not pixels[..., 0].any()


def _is_earlier_result(target: Path, is_own: Callable[[np.ndarray], bool]) -> bool:
    if not target.is_file():
        return False
    content = np.frombuffer(target.read_bytes(), np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    return pixels is not None and is_own(pixels)
